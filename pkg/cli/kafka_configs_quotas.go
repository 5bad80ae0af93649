package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/kerr"
)

// quotaEntityTypes are the types of entities as quota requests and the
// tool's output name them.
var quotaEntityTypes = map[string]struct{ request, shown string }{
	entityUsers:   {"user", "user-principal"},
	entityClients: {"client-id", "client-id"},
	entityIPs:     {"ip", "ip"},
}

// quotaComponents are the filter for the entity of the options: exactly these
// types, with these names as far as they are given.
func quotaComponents(o *configOptions) ([]kmsg.DescribeClientQuotasRequestComponent, error) {
	if len(o.names) > len(o.types) {
		return nil, exceptionf(illegalArgument, "More entity names specified than entity types")
	}
	var components []kmsg.DescribeClientQuotasRequestComponent
	for i, t := range o.types {
		c := kmsg.NewDescribeClientQuotasRequestComponent()
		c.EntityType = quotaEntityTypes[t].request
		switch {
		case i >= len(o.names):
			c.MatchType = kmsg.QuotasMatchTypeAny
		case o.names[i] == "":
			c.MatchType = kmsg.QuotasMatchTypeDefault
		default:
			c.MatchType, c.Match = kmsg.QuotasMatchTypeExact, kmsg.StringPtr(o.names[i])
		}
		components = append(components, c)
	}
	return components, nil
}

// quotas asks for the quotas of the entity of the options.
func (s *bootstrapConfigs) quotas(ctx context.Context, o *configOptions) ([]kmsg.DescribeClientQuotasResponseEntry, error) {
	components, err := quotaComponents(o)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrDescribeClientQuotasRequest()
	req.Components, req.Strict = components, true
	resp, err := s.within(ctx, describeWait, func(ctx context.Context) (kmsg.Response, error) {
		resp, err := s.client.call(ctx, "describeClientQuotas", anyNode, req)
		if err != nil {
			return nil, err
		}
		r := resp.(*kmsg.DescribeClientQuotasResponse)
		return resp, protocolError(r.ErrorCode, r.ErrorMessage)
	})
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.DescribeClientQuotasResponse).Entries, nil
}

func (s *bootstrapConfigs) describeQuotas(ctx context.Context, o *configOptions) error {
	entries, err := s.quotas(ctx, o)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		values := map[string]string{}
		var names []string
		for _, v := range entry.Values {
			names = append(names, v.Key)
			values[v.Key] = javaDouble(v.Value, 64)
		}
		for i, name := range hashMapOrder(names, 16) {
			names[i] = name + "=" + values[name]
		}
		if _, err := fmt.Fprintf(s.out, "Quota configs for %s are %s\n", quotaEntity(entry.Entity), strings.Join(names, ", ")); err != nil {
			return err
		}
	}
	return nil
}

// quotaEntity writes an entity as the tool shows it: the user first.
func quotaEntity(entity []kmsg.DescribeClientQuotasResponseEntryEntity) string {
	var parts []string
	for _, t := range []string{entityUsers, entityClients, entityIPs} {
		for _, e := range entity {
			switch {
			case e.Type != quotaEntityTypes[t].request:
			case e.Name == nil:
				parts = append(parts, "the default "+quotaEntityTypes[t].shown)
			default:
				parts = append(parts, fmt.Sprintf("%s '%s'", quotaEntityTypes[t].shown, *e.Name))
			}
		}
	}
	return strings.Join(parts, ", ")
}

// describeUsersAndClients shows quotas, and for users alone also which
// credentials they have.
func (s *bootstrapConfigs) describeUsersAndClients(ctx context.Context, o *configOptions) error {
	if err := s.describeQuotas(ctx, o); err != nil {
		return err
	}
	if slices.Contains(o.types, entityClients) || slices.Contains(o.names, "") {
		return nil
	}
	req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	req.Users = nil
	for _, name := range o.names {
		u := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
		u.Name = name
		req.Users = append(req.Users, u)
	}
	resp, err := s.within(ctx, describeWait, func(ctx context.Context) (kmsg.Response, error) {
		resp, err := s.client.call(ctx, "describeUserScramCredentials", anyNode, req)
		if err != nil {
			return nil, err
		}
		r := resp.(*kmsg.DescribeUserSCRAMCredentialsResponse)
		return resp, protocolError(r.ErrorCode, r.ErrorMessage)
	})
	if err != nil {
		return err
	}
	for _, r := range resp.(*kmsg.DescribeUserSCRAMCredentialsResponse).Results {
		if err := s.printCredentials(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *bootstrapConfigs) printCredentials(r kmsg.DescribeUserSCRAMCredentialsResponseResult) error {
	failure := protocolError(r.ErrorCode, r.ErrorMessage)
	if kerr.Of(failure) == kerr.ResourceNotFound {
		return nil // a user with quotas only
	}
	if failure != nil {
		class := javaClass(failure)
		_, err := fmt.Fprintf(s.out, "Error retrieving SCRAM credential configs for user-principal '%s': %s: %s\n",
			r.User, class[strings.LastIndexByte(class, '.')+1:], failure)
		return err
	}
	var infos []string
	for _, c := range r.CredentialInfos {
		infos = append(infos, fmt.Sprintf("%s=iterations=%d", scramByNumber(int8(c.Mechanism)).name, c.Iterations))
	}
	_, err := fmt.Fprintf(s.out, "SCRAM credential configs for user-principal '%s' are %s\n", r.User, strings.Join(infos, ", "))
	return err
}

// alterIP changes the connection quota of an address.
func (s *bootstrapConfigs) alterIP(ctx context.Context, o *configOptions, added map[string]string, deleted []string) error {
	if unknown := missing(append(sortedKeys(added), deleted...), ipQuotaKeys); len(unknown) > 0 {
		return exceptionf(illegalArgument, "Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config names: %s",
			strings.Join(unknown, ","))
	}
	return s.alterQuotas(ctx, o, added, deleted)
}

// alterUserOrClient changes quotas, or the credentials of a user.
func (s *bootstrapConfigs) alterUserOrClient(ctx context.Context, o *configOptions, added map[string]string, deleted []string) error {
	notQuotas, deletedNotQuotas := missing(sortedKeys(added), clientQuotaKeys), missing(deleted, clientQuotaKeys)
	isScram := func(name string) bool { return scramByName(name) != nil }
	userAlone := len(o.types) == 1 && o.types[0] == entityUsers
	if userAlone {
		unknown := slices.DeleteFunc(slices.Clone(notQuotas), isScram)
		deletedUnknown := slices.DeleteFunc(slices.Clone(deletedNotQuotas), isScram)
		if err := refuseNames(unknown, deletedUnknown, "quota and SCRAM credential configs", entityUsers); err != nil {
			return err
		}
	} else if err := refuseNames(notQuotas, deletedNotQuotas, "quota configs", entityClients); err != nil {
		return err
	}
	if len(notQuotas)+len(deletedNotQuotas) == 0 {
		return s.alterQuotas(ctx, o, added, deleted)
	}
	switch {
	case slices.Contains(o.names, ""):
		return exceptionf(illegalArgument, "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using --bootstrap-server.")
	case len(notQuotas)+len(deletedNotQuotas) < len(added)+len(deleted):
		return exceptionf(illegalArgument, "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using --bootstrap-server.")
	case len(o.names) != 1:
		return exceptionf("java.lang.IllegalStateException",
			"Altering user SCRAM credentials should never occur for more zero or multiple users: List(%s)", strings.Join(o.names, ", "))
	}
	return s.alterCredentials(ctx, o.names[0], added, deleted)
}

// refuseNames refuses settings that an entity cannot have.
func refuseNames(added, deleted []string, what, entityType string) error {
	if len(added) > 0 {
		return exceptionf(illegalArgument, "Only %s can be added for '%s' using --bootstrap-server. Unexpected config names: Set(%s)",
			what, entityType, strings.Join(added, ", "))
	}
	if len(deleted) > 0 {
		return exceptionf(illegalArgument, "Only %s can be deleted for '%s' using --bootstrap-server. Unexpected config names: ArrayBuffer(%s)",
			what, entityType, strings.Join(deleted, ", "))
	}
	return nil
}

func (s *bootstrapConfigs) alterQuotas(ctx context.Context, o *configOptions, added map[string]string, deleted []string) error {
	if len(o.types) != len(o.names) {
		return exceptionf(illegalArgument, "An entity name must be specified for every entity type")
	}
	entries, err := s.quotas(ctx, o)
	if err != nil {
		return err
	}
	old := map[string]float64{}
	for _, entry := range entries {
		for _, v := range entry.Values {
			old[v.Key] = v.Value
		}
	}
	if err := checkDeleted(deleted, old); err != nil {
		return err
	}
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	for i, t := range o.types {
		e := kmsg.NewAlterClientQuotasRequestEntryEntity()
		e.Type = quotaEntityTypes[t].request
		if o.names[i] != "" {
			e.Name = kmsg.StringPtr(o.names[i])
		}
		entry.Entity = append(entry.Entity, e)
	}
	for _, key := range sortedKeys(added) {
		value, err := strconv.ParseFloat(added[key], 64)
		if err != nil {
			return exceptionf(illegalArgument, "Cannot parse quota configuration value for %s: %s", key, added[key])
		}
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		op.Key, op.Value = key, value
		entry.Ops = append(entry.Ops, op)
	}
	for _, key := range deleted {
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		op.Key, op.Remove = key, true
		entry.Ops = append(entry.Ops, op)
	}
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Entries = append(req.Entries, entry)
	resp, err := s.client.call(ctx, "alterClientQuotas", anyNode, req)
	if err != nil {
		return execution(err)
	}
	for _, e := range resp.(*kmsg.AlterClientQuotasResponse).Entries {
		if err := protocolError(e.ErrorCode, e.ErrorMessage); err != nil {
			return execution(err)
		}
	}
	return nil
}

// alterCredentials sets and deletes credentials of a user. The password does
// not leave the tool: what is sent is derived from it.
func (s *bootstrapConfigs) alterCredentials(ctx context.Context, user string, added map[string]string, deleted []string) error {
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	for _, name := range deleted {
		d := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
		d.Name, d.Mechanism = user, scramByName(name).number
		req.Deletions = append(req.Deletions, d)
	}
	for _, name := range sortedKeys(added) {
		mechanism := scramByName(name)
		iterations, password, err := mechanism.parse(added[name], mechanism.name)
		if err != nil {
			return err
		}
		c, err := mechanism.credential(password, iterations)
		if err != nil {
			return err
		}
		u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
		u.Name, u.Mechanism, u.Iterations, u.Salt, u.SaltedPassword = user, mechanism.number, iterations, c.salt, c.saltedPassword
		req.Upsertions = append(req.Upsertions, u)
	}
	resp, err := s.client.callController(ctx, "alterUserScramCredentials", req, func(resp kmsg.Response) bool {
		return slices.ContainsFunc(resp.(*kmsg.AlterUserSCRAMCredentialsResponse).Results, func(r kmsg.AlterUserSCRAMCredentialsResponseResult) bool {
			return r.ErrorCode == kerr.NotController.Code
		})
	})
	if err != nil {
		return execution(err)
	}
	for _, r := range resp.(*kmsg.AlterUserSCRAMCredentialsResponse).Results {
		if err := protocolError(r.ErrorCode, r.ErrorMessage); err != nil {
			return execution(err)
		}
	}
	return nil
}
