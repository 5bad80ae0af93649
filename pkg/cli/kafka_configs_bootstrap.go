package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
)

// The tool waits this long for what it reads and for what it changes.
const (
	describeWait = 30 * time.Second
	alterWait    = 30 * time.Second
)

// bootstrapConfigs works through a broker. Quotas and credentials are in
// kafka_configs_quotas.go.
type bootstrapConfigs struct {
	client *adminClient
	out    io.Writer
}

func (s *bootstrapConfigs) close() { s.client.Close() }

// within runs a call with a time limit of the tool's own, and gives its error
// the form that the tool sees it in.
func (s *bootstrapConfigs) within(ctx context.Context, limit time.Duration, call func(ctx context.Context) (kmsg.Response, error)) (kmsg.Response, error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := call(limited)
	switch {
	case err == nil:
		return resp, nil
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return nil, exceptionf("java.util.concurrent.TimeoutException", "")
	}
	return nil, execution(err)
}

func (s *bootstrapConfigs) describe(ctx context.Context, o *configOptions) error {
	switch o.types[0] {
	case entityTopics, entityBrokers, entityBrokerLoggers:
		return s.describeResources(ctx, o)
	case entityIPs:
		return s.describeQuotas(ctx, o)
	default:
		return s.describeUsersAndClients(ctx, o)
	}
}

func (s *bootstrapConfigs) describeResources(ctx context.Context, o *configOptions) error {
	entityType, all := o.types[0], o.Has(o.all)
	names := o.names
	if len(names) > 0 {
		names = names[:1]
	} else {
		var err error
		if names, err = s.resourceNames(ctx, entityType); err != nil {
			return err
		}
	}
	for _, name := range names {
		which := "Dynamic"
		if all {
			which = "All"
		}
		if name == "" {
			fmt.Fprintf(s.out, "Default configs for %s in the cluster are:\n", entityType)
		} else {
			fmt.Fprintf(s.out, "%s configs for %s %s are:\n", which, singular(entityType), name)
		}
		entries, err := s.resourceConfigs(ctx, entityType, name, true, all)
		if err != nil {
			return err
		}
		if err := printConfigEntries(s.out, entries); err != nil {
			return err
		}
	}
	return nil
}

// singular is an entity's type without its plural s.
func singular(entityType string) string { return strings.TrimSuffix(entityType, "s") }

// resourceNames lists all topics, or all brokers and their default.
func (s *bootstrapConfigs) resourceNames(ctx context.Context, entityType string) ([]string, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation, req.Topics = false, nil
	call := "listTopics"
	if entityType != entityTopics {
		call, req.Topics = "listNodes", []kmsg.MetadataRequestTopic{}
	}
	resp, err := s.client.call(ctx, call, anyNode, req)
	if err != nil {
		return nil, execution(err)
	}
	m := resp.(*kmsg.MetadataResponse)
	s.client.learn(m)
	var names []string
	if entityType == entityTopics {
		for _, t := range m.Topics {
			if t.Topic != nil {
				names = append(names, *t.Topic)
			}
		}
		return hashMapOrder(names, 16), nil
	}
	for _, b := range m.Brokers {
		names = append(names, strconv.Itoa(int(b.NodeID)))
	}
	return append(names, ""), nil
}

// resource is how an entity is named in requests, which node answers, and
// which of its settings are its own.
func resource(entityType, name string) (kind kmsg.ConfigResourceType, to target, own kmsg.ConfigSource, err error) {
	switch entityType {
	case entityTopics:
		if name != "" {
			err = admin.ValidateTopicName(name)
		}
		return kmsg.ConfigResourceTypeTopic, anyNode, kmsg.ConfigSourceDynamicTopicConfig, err
	case entityBrokers:
		if name == "" {
			return kmsg.ConfigResourceTypeBroker, anyNode, kmsg.ConfigSourceDynamicDefaultBrokerConfig, nil
		}
		kind, own = kmsg.ConfigResourceTypeBroker, kmsg.ConfigSourceDynamicBrokerConfig
	default:
		kind = kmsg.ConfigResourceTypeBrokerLogger
	}
	id, err := strconv.ParseInt(name, 10, 32)
	return kind, target(id), own, err
}

// resourceConfigs asks for the settings of one entity. They come in the order
// in which the tool prints them; unless all are wanted, only the entity's own.
func (s *bootstrapConfigs) resourceConfigs(ctx context.Context, entityType, name string, synonyms, all bool) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	kind, to, own, err := resource(entityType, name)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	req.Resources, req.IncludeSynonyms = append(req.Resources, r), synonyms
	resp, err := s.within(ctx, describeWait, func(ctx context.Context) (kmsg.Response, error) {
		resp, err := s.client.call(ctx, "describeConfigs", to, req)
		if err != nil {
			return nil, err
		}
		for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
			if err := protocolError(r.ErrorCode, r.ErrorMessage); err != nil {
				return nil, err
			}
		}
		return resp, nil
	})
	if err != nil {
		return nil, err
	}
	var entries []kmsg.DescribeConfigsResponseResourceConfig
	for _, r := range resp.(*kmsg.DescribeConfigsResponse).Resources {
		entries = append(entries, inHashMapOrder(r.Configs)...)
	}
	if all || entityType == entityBrokerLoggers {
		return entries, nil
	}
	var chosen []kmsg.DescribeConfigsResponseResourceConfig
	for _, e := range entries {
		if e.Source == own {
			chosen = append(chosen, e)
		}
	}
	return chosen, nil
}

func inHashMapOrder(configs []kmsg.DescribeConfigsResponseResourceConfig) []kmsg.DescribeConfigsResponseResourceConfig {
	names := make([]string, len(configs))
	byName := make(map[string]kmsg.DescribeConfigsResponseResourceConfig, len(configs))
	for i, c := range configs {
		names[i], byName[c.Name] = c.Name, c
	}
	ordered := make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(configs))
	for _, name := range hashMapOrder(names, 16) {
		ordered = append(ordered, byName[name])
	}
	return ordered
}

func printConfigEntries(out io.Writer, entries []kmsg.DescribeConfigsResponseResourceConfig) error {
	var b strings.Builder
	for _, e := range entries {
		synonyms := make([]string, len(e.ConfigSynonyms))
		for i, s := range e.ConfigSynonyms {
			synonyms[i] = fmt.Sprintf("%s:%s=%s", s.Source, s.Name, stringOr(s.Value, "null"))
		}
		fmt.Fprintf(&b, "  %s=%s sensitive=%t synonyms={%s}\n", e.Name, stringOr(e.Value, "null"), e.IsSensitive, strings.Join(synonyms, ", "))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (s *bootstrapConfigs) alter(ctx context.Context, o *configOptions, added map[string]string, deleted []string) error {
	s.client.settings.apiTimeout = min(s.client.settings.apiTimeout, alterWait)
	entityType, name := o.types[0], o.names[0]
	var err error
	switch entityType {
	case entityTopics:
		err = s.alterTopic(ctx, name, added, deleted)
	case entityBrokers:
		err = s.alterBroker(ctx, name, added, deleted)
	case entityBrokerLoggers:
		err = s.alterLoggers(ctx, name, added, deleted)
	case entityIPs:
		err = s.alterIP(ctx, o, added, deleted)
	default:
		err = s.alterUserOrClient(ctx, o, added, deleted)
	}
	if err != nil {
		return err
	}
	if name == "" {
		_, err = fmt.Fprintf(s.out, "Completed updating default config for %s in the cluster.\n", entityType)
	} else {
		_, err = fmt.Fprintf(s.out, "Completed updating config for %s %s.\n", singular(entityType), name)
	}
	return err
}

func (s *bootstrapConfigs) alterTopic(ctx context.Context, name string, added map[string]string, deleted []string) error {
	old, err := s.resourceConfigs(ctx, entityTopics, name, false, false)
	if err != nil {
		return err
	}
	if err := checkDeleted(deleted, configValues(old)); err != nil {
		return err
	}
	return s.incrementalAlter(ctx, entityTopics, name, added, deleted)
}

func configValues(entries []kmsg.DescribeConfigsResponseResourceConfig) map[string]*string {
	values := make(map[string]*string, len(entries))
	for _, e := range entries {
		values[e.Name] = e.Value
	}
	return values
}

func (s *bootstrapConfigs) alterLoggers(ctx context.Context, name string, added map[string]string, deleted []string) error {
	loggers, err := s.resourceConfigs(ctx, entityBrokerLoggers, name, true, false)
	if err != nil {
		return err
	}
	known := configValues(loggers)
	if invalid := append(missing(deleted, known), missing(sortedKeys(added), known)...); len(invalid) > 0 {
		return exceptionf(invalidConfiguration, "Invalid broker logger(s): %s", strings.Join(invalid, ","))
	}
	return s.incrementalAlter(ctx, entityBrokerLoggers, name, added, deleted)
}

func (s *bootstrapConfigs) incrementalAlter(ctx context.Context, entityType, name string, added map[string]string, deleted []string) error {
	return alterSettings(ctx, s.client, entityType, name, added, deleted)
}

// alterSettings sets and deletes single settings of a topic, a broker or its
// loggers.
func alterSettings(ctx context.Context, client *adminClient, entityType, name string, added map[string]string, deleted []string) error {
	kind, to, _, err := resource(entityType, name)
	if err != nil {
		return err
	}
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, key := range sortedKeys(added) {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = key, kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr(added[key])
		r.Configs = append(r.Configs, c)
	}
	for _, key := range deleted {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = key, kmsg.IncrementalAlterConfigOpDelete, kmsg.StringPtr("")
		r.Configs = append(r.Configs, c)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	resp, err := client.call(ctx, "incrementalAlterConfigs", to, req)
	if err != nil {
		return execution(err)
	}
	for _, r := range resp.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		if err := protocolError(r.ErrorCode, r.ErrorMessage); err != nil {
			return execution(err)
		}
	}
	return nil
}

// alterBroker replaces all dynamic settings of a broker, or of all, by the
// old ones with the changes: the tool of 2.8 does not use the incremental
// request here. What cannot be read back has to be given again.
func (s *bootstrapConfigs) alterBroker(ctx context.Context, name string, added map[string]string, deleted []string) error {
	old, err := s.resourceConfigs(ctx, entityBrokers, name, false, false)
	if err != nil {
		return err
	}
	next := configValues(old)
	if err := checkDeleted(deleted, next); err != nil {
		return err
	}
	for key, value := range added {
		next[key] = &value
	}
	for _, key := range deleted {
		delete(next, key)
	}
	_, to, _, err := resource(entityBrokers, name)
	if err != nil {
		return err
	}
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, name
	var hidden []string
	for _, key := range sortedKeys(next) {
		if next[key] == nil {
			hidden = append(hidden, key)
			continue
		}
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = key, next[key]
		r.Configs = append(r.Configs, c)
	}
	if len(hidden) > 0 {
		return exceptionf(invalidConfiguration, "All sensitive broker config entries must be specified for --alter, missing entries: Set(%s)",
			strings.Join(hidden, ", "))
	}
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	resp, err := s.client.call(ctx, "alterConfigs", to, req)
	if err != nil {
		return execution(err)
	}
	for _, r := range resp.(*kmsg.AlterConfigsResponse).Resources {
		if err := protocolError(r.ErrorCode, r.ErrorMessage); err != nil {
			return execution(err)
		}
	}
	return nil
}
