package api

// DescribeConfigs, key 32, v0-4.
//
//	v1: synonyms, and where a value comes from   v2: throttled by the client
//	v3: types and documentation                  v4: flexible
//
// What surprises: an empty list of names means all settings, as no list does;
// without an error the error text is empty and not null; a resource type
// without a meaning spoils the whole request; version 0 has a flag for
// defaults, which 2.8 never sets. The settings of a broker are
// answered by that broker alone; the empty name means what is set for all
// brokers while they run.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/config"
	"gregor/pkg/kerr"
	"gregor/pkg/wire"
)

func (h *Configs) describeConfigs(ctx context.Context, _ *wire.Request, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	understood := true
	for _, r := range req.Resources {
		understood = understood && resource(r.ResourceType, r.ResourceName).Type != admin.UnknownResource
	}
	for _, r := range req.Resources {
		answer := kmsg.NewDescribeConfigsResponseResource()
		answer.ResourceType, answer.ResourceName = r.ResourceType, r.ResourceName
		var entries []config.Entry
		err := error(kerr.InvalidRequest)
		if understood {
			entries, err = h.Admin.Describe(ctx, resource(r.ResourceType, r.ResourceName), r.ConfigNames)
		}
		answer.ErrorCode, answer.ErrorMessage = kerr.Code(err), configMessage(err)
		if err == nil || err == error(kerr.UnknownTopicOrPartition) {
			answer.ErrorMessage = kmsg.StringPtr("")
		}
		for i := range entries {
			answer.Configs = append(answer.Configs, describedConfig(&entries[i], req))
		}
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}

// describedConfig is one setting of an answer.
func describedConfig(e *config.Entry, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.ReadOnly, c.IsSensitive = e.Name, e.Value, e.ReadOnly, e.Sensitive
	c.Source, c.ConfigType = kmsg.ConfigSource(e.Source), kmsg.ConfigType(e.Type)
	if req.IncludeDocumentation {
		c.Documentation = e.Doc
	}
	if !req.IncludeSynonyms {
		return c
	}
	for _, s := range e.Synonyms {
		synonym := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
		synonym.Name, synonym.Value, synonym.Source = s.Name, s.Value, kmsg.ConfigSource(s.Source)
		c.ConfigSynonyms = append(c.ConfigSynonyms, synonym)
	}
	return c
}
