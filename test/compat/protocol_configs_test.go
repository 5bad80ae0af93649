//go:build compat

package compat

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func configsScript(c *conv) {
	ask[*kmsg.CreateTopicsResponse](c, "to configure", 4, creating("set", 1, "retention.ms", "4000"))
	c.alterations()
	c.increments()
	c.descriptions()
	c.applied()
}

func resource(kind kmsg.ConfigResourceType, name string, keys ...string) kmsg.DescribeConfigsRequestResource {
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, keys
	return r
}

func describing(change func(*kmsg.DescribeConfigsRequest), resources ...kmsg.DescribeConfigsRequestResource) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = resources
	if change != nil {
		change(req)
	}
	return req
}

const (
	ofTopic  = kmsg.ConfigResourceTypeTopic
	ofBroker = kmsg.ConfigResourceTypeBroker
	ofLogger = kmsg.ConfigResourceTypeBrokerLogger
)

func (c *conv) descriptions() {
	all := func(r *kmsg.DescribeConfigsRequest) { r.IncludeSynonyms = true }
	for _, d := range []struct {
		what   string
		change func(*kmsg.DescribeConfigsRequest)
		of     []kmsg.DescribeConfigsRequestResource
	}{
		{"topic", nil, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "set")}},
		{"topic, synonyms", all, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "set")}},
		{"topic, two keys", all, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "compacted", "cleanup.policy", "retention.ms")}},
		{"topic, unknown key", all, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "set", "no.such.key")}},
		{"topic, no keys", all, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "set", []string{}...)}},
		{"unknown topic", all, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "nowhere")}},
		{"bad name", all, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "bad name")}},
		{"empty name", all, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "")}},
		{"broker", nil, []kmsg.DescribeConfigsRequestResource{resource(ofBroker, "0")}},
		{"broker, synonyms", all, []kmsg.DescribeConfigsRequestResource{resource(ofBroker, "0")}},
		{"broker default", all, []kmsg.DescribeConfigsRequestResource{resource(ofBroker, "")}},
		{"another broker", all, []kmsg.DescribeConfigsRequestResource{resource(ofBroker, "7")}},
		{"broker x", all, []kmsg.DescribeConfigsRequestResource{resource(ofBroker, "x")}},
		{"broker -1", all, []kmsg.DescribeConfigsRequestResource{resource(ofBroker, "-1")}},
		{"broker 00", all, []kmsg.DescribeConfigsRequestResource{resource(ofBroker, "00", "log.retention.ms")}},
		{"type unknown", all, []kmsg.DescribeConfigsRequestResource{resource(0, "x")}},
		{"type any", all, []kmsg.DescribeConfigsRequestResource{resource(1, "x")}},
		{"type 3", all, []kmsg.DescribeConfigsRequestResource{resource(3, "x")}},
		{"type -1", all, []kmsg.DescribeConfigsRequestResource{resource(-1, "x")}},
		{"logger of another", all, []kmsg.DescribeConfigsRequestResource{resource(ofLogger, "9")}},
		{"logger x", all, []kmsg.DescribeConfigsRequestResource{resource(ofLogger, "x")}},
		{"logger without name", all, []kmsg.DescribeConfigsRequestResource{resource(ofLogger, "")}},
		{"logger", all, []kmsg.DescribeConfigsRequestResource{resource(ofLogger, "0", "kafka.controller.KafkaController")}},
		{"nothing", all, nil},
		{"twice", all, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "set", "retention.ms"), resource(ofTopic, "set", "segment.ms")}},
		{"several", all, []kmsg.DescribeConfigsRequestResource{resource(ofTopic, "set", "retention.ms"), resource(ofBroker, "0", "broker.id"), resource(ofTopic, "nowhere")}},
	} {
		c.each(d.what, func(int16) kmsg.Request { return describing(d.change, d.of...) })
	}
	for version := int16(3); version <= 4; version++ {
		req := describing(func(r *kmsg.DescribeConfigsRequest) { r.IncludeDocumentation = true }, resource(ofTopic, "set", "retention.ms"))
		resp, ok := c.send(version, req).(*kmsg.DescribeConfigsResponse)
		documented := ok && len(resp.Resources) == 1 && len(resp.Resources[0].Configs) == 1 && resp.Resources[0].Configs[0].Documentation != nil
		c.record(label(req, version, "documentation"), []string{fmt.Sprint("documented: ", documented)})
	}
}

// value is a change of one key.
type value struct {
	name  string
	value any
	op    kmsg.IncrementalAlterConfigOp
}

func (v value) pointer() *string {
	if s, ok := v.value.(string); ok {
		return &s
	}
	return nil
}

var alterations = []struct {
	what   string
	kind   kmsg.ConfigResourceType
	name   string
	values []value
}{
	{"topic", ofTopic, "set", []value{{"retention.ms", "5000", 0}, {"segment.ms", "7000", 0}}},
	{"topic, nothing", ofTopic, "set", nil},
	{"unknown key", ofTopic, "set", []value{{"no.such.key", "1", 0}}},
	{"bad value", ofTopic, "set", []value{{"retention.ms", "soon", 0}}},
	{"bad list", ofTopic, "set", []value{{"cleanup.policy", "x", 0}}},
	{"out of range", ofTopic, "set", []value{{"segment.bytes", "1", 0}}},
	{"null value", ofTopic, "set", []value{{"retention.ms", nil, 0}}},
	{"two null values", ofTopic, "set", []value{{"retention.ms", nil, 0}, {"segment.ms", nil, 0}}},
	{"empty value", ofTopic, "set", []value{{"retention.ms", "", 0}}},
	{"empty key", ofTopic, "set", []value{{"", "1", 0}}},
	{"same key twice", ofTopic, "set", []value{{"retention.ms", "1", 0}, {"retention.ms", "2", 0}}},
	{"unknown topic", ofTopic, "nowhere", []value{{"retention.ms", "5000", 0}}},
	{"bad name", ofTopic, "bad name", []value{{"retention.ms", "5000", 0}}},
	{"empty name", ofTopic, "", []value{{"retention.ms", "5000", 0}}},
	{"internal topic", ofTopic, "__consumer_offsets", []value{{"retention.ms", "5000", 0}}},
	{"broker, dynamic", ofBroker, "0", []value{{"log.cleaner.threads", "2", 0}}},
	{"broker, read only", ofBroker, "0", []value{{"broker.id", "5", 0}}},
	{"broker, another read only", ofBroker, "0", []value{{"log.dirs", "/x", 0}}},
	{"broker, unknown key", ofBroker, "0", []value{{"no.such.key", "5", 0}}},
	{"broker, bad value", ofBroker, "0", []value{{"log.cleaner.threads", "many", 0}}},
	{"broker, zero", ofBroker, "0", []value{{"log.cleaner.threads", "0", 0}}},
	{"broker, many threads", ofBroker, "0", []value{{"num.io.threads", "100", 0}}},
	{"broker, few threads", ofBroker, "0", []value{{"num.io.threads", "1", 0}}},
	{"default, dynamic", ofBroker, "", []value{{"log.cleaner.backoff.ms", "20000", 0}}},
	{"default, per broker only", ofBroker, "", []value{{"advertised.listeners", "PLAINTEXT://x:1", 0}}},
	{"default, read only", ofBroker, "", []value{{"broker.id", "3", 0}}},
	{"default, bad value", ofBroker, "", []value{{"log.cleaner.backoff.ms", "x", 0}}},
	{"default, null", ofBroker, "", []value{{"log.cleaner.backoff.ms", nil, 0}}},
	{"another broker", ofBroker, "9", []value{{"log.cleaner.threads", "2", 0}}},
	{"broker x", ofBroker, "x", []value{{"log.cleaner.threads", "2", 0}}},
	{"broker, nothing", ofBroker, "0", nil},
	{"default, nothing", ofBroker, "", nil},
	{"logger", ofLogger, "0", []value{{"kafka.controller.KafkaController", "INFO", 0}}},
	{"logger, bad level", ofLogger, "0", []value{{"kafka.controller.KafkaController", "LOUD", 0}}},
	{"logger of another", ofLogger, "8", []value{{"kafka.controller.KafkaController", "INFO", 0}}},
	{"unknown logger", ofLogger, "0", []value{{"no.such.Logger", "INFO", 0}}},
	{"type unknown", 0, "x", []value{{"a", "b", 0}}},
	{"type any", 1, "x", []value{{"a", "b", 0}}},
	{"type 3", 3, "x", []value{{"a", "b", 0}}},
	{"type -1", -1, "x", []value{{"a", "b", 0}}},
}

// shown describes what the topic holds after a change.
func (c *conv) shown(what string) {
	ask[*kmsg.DescribeConfigsResponse](c, what, 1, describing(func(r *kmsg.DescribeConfigsRequest) { r.IncludeSynonyms = true },
		resource(ofTopic, "set", "retention.ms", "segment.ms", "cleanup.policy")))
}

// applied sets values of the broker and of all brokers, waits until they are
// seen, and records how they are shown.
func (c *conv) applied() {
	for _, v := range []struct{ name, key, value string }{{"0", "log.cleaner.threads", "2"}, {"", "log.cleaner.backoff.ms", "20000"}} {
		req := kmsg.NewPtrAlterConfigsRequest()
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = ofBroker, v.name
		r.Configs = []kmsg.AlterConfigsRequestResourceConfig{{Name: v.key, Value: &v.value}}
		req.Resources = append(req.Resources, r)
		ask[*kmsg.AlterConfigsResponse](c, "to apply "+v.key, 1, req)
		eventually(c.t, 20*time.Second, v.key+" is applied", func() bool {
			resp, ok := c.send(1, describing(nil, resource(ofBroker, v.name, v.key))).(*kmsg.DescribeConfigsResponse)
			return ok && len(resp.Resources[0].Configs) == 1 && resp.Resources[0].Configs[0].Value != nil && *resp.Resources[0].Configs[0].Value == v.value
		})
	}
	synonyms := func(r *kmsg.DescribeConfigsRequest) { r.IncludeSynonyms = true }
	c.each("applied", func(int16) kmsg.Request {
		return describing(synonyms, resource(ofBroker, "0"), resource(ofBroker, ""), resource(ofTopic, "set"))
	})
}

func (c *conv) alterations() {
	for _, a := range alterations {
		for version := range c.both(33) {
			for _, validate := range []bool{true, false} {
				req := kmsg.NewPtrAlterConfigsRequest()
				req.ValidateOnly = validate
				r := kmsg.NewAlterConfigsRequestResource()
				r.ResourceType, r.ResourceName = a.kind, a.name
				for _, v := range a.values {
					r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: v.name, Value: v.pointer()})
				}
				req.Resources = append(req.Resources, r)
				ask[*kmsg.AlterConfigsResponse](c, fmt.Sprint(a.what, ", validate ", validate), version, req)
			}
		}
		c.shown("after " + a.what)
	}
	for version := range c.both(33) {
		req := kmsg.NewPtrAlterConfigsRequest()
		ask[*kmsg.AlterConfigsResponse](c, "nothing", version, req)
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = ofTopic, "set"
		req.Resources = append(req.Resources, r) // the same twice hangs the original
		r.ResourceName = "nowhere"
		req.Resources = append(req.Resources, r)
		ask[*kmsg.AlterConfigsResponse](c, "good and bad", version, req)
	}
}

func (c *conv) increments() {
	cases := alterations
	for op := range kmsg.IncrementalAlterConfigOp(6) {
		for _, v := range []value{{"retention.ms", "5000", op}, {"cleanup.policy", "delete", op}, {"cleanup.policy", "compact", op}, {"cleanup.policy", "", op},
			{"cleanup.policy", "x", op}, {"cleanup.policy", nil, op}, {"no.such.key", "x", op}, {"no.such.key", nil, op}, {"retention.ms", nil, op}} {
			cases = append(cases, struct {
				what   string
				kind   kmsg.ConfigResourceType
				name   string
				values []value
			}{fmt.Sprint("op ", int8(op), " ", v.name, "=", v.value), ofTopic, "set", []value{v}})
		}
		cases = append(cases, struct {
			what   string
			kind   kmsg.ConfigResourceType
			name   string
			values []value
		}{fmt.Sprint("default, op ", int8(op)), ofBroker, "", []value{{"log.cleaner.backoff.ms", "20000", op}}})
		cases = append(cases, struct {
			what   string
			kind   kmsg.ConfigResourceType
			name   string
			values []value
		}{fmt.Sprint("logger, op ", int8(op)), ofLogger, "0", []value{{"kafka.controller.KafkaController", "INFO", op}}})
	}
	for _, a := range cases {
		for version := range c.both(44) {
			for _, validate := range []bool{true, false} {
				req := kmsg.NewPtrIncrementalAlterConfigsRequest()
				req.ValidateOnly = validate
				r := kmsg.NewIncrementalAlterConfigsRequestResource()
				r.ResourceType, r.ResourceName = a.kind, a.name
				for _, v := range a.values {
					r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: v.name, Op: v.op, Value: v.pointer()})
				}
				req.Resources = append(req.Resources, r)
				ask[*kmsg.IncrementalAlterConfigsResponse](c, fmt.Sprint(a.what, ", validate ", validate), version, req)
			}
		}
		c.shown("after increment " + a.what)
	}
	for version := range c.both(44) {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		ask[*kmsg.IncrementalAlterConfigsResponse](c, "nothing", version, req)
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = ofTopic, "set"
		req.Resources = append(req.Resources, r, r)
		ask[*kmsg.IncrementalAlterConfigsResponse](c, "twice", version, req)
	}
}
