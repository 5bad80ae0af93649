package api

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gregor/pkg/admin"
	"gregor/pkg/config"
	"gregor/pkg/kerr"
)

// Configs is the family of the configurations of topics, brokers and loggers.
type Configs struct {
	Admin ConfigAdmin
}

// ConfigAdmin is what the family asks; *admin.Configs does it.
type ConfigAdmin interface {
	Describe(ctx context.Context, r admin.Resource, keys []string) ([]config.Entry, error)
	Alter(ctx context.Context, r admin.Resource, changes []admin.ConfigChange, validateOnly bool) error
	IncrementalAlter(ctx context.Context, r admin.Resource, changes []admin.ConfigChange, validateOnly bool) error
}

// Register enters the family's handlers.
func (h *Configs) Register(r *Router) {
	r.Handle(32, Typed(kmsg.NewPtrDescribeConfigsRequest, h.describeConfigs))
	r.Handle(33, Typed(kmsg.NewPtrAlterConfigsRequest, h.alterConfigs))
	r.Handle(44, Typed(kmsg.NewPtrIncrementalAlterConfigsRequest, h.incrementalAlterConfigs))
}

// resource is a resource of a request. A type without a meaning becomes
// UnknownResource.
func resource(resourceType kmsg.ConfigResourceType, name string) admin.Resource {
	return admin.Resource{Type: admin.ResourceType(resourceType).Known(), Name: name}
}

// configMessage is the text beside an error's code: none for an unexpected
// error, whose text may say too much.
func configMessage(err error) *string {
	if err == nil || errors.Is(err, kerr.UnknownServerError) || kerr.Code(err) == kerr.UnknownServerError.Code {
		return nil
	}
	return kerr.Message(err)
}
