package server

import (
	"fmt"
	"net"
	"time"

	"gregor/pkg/logging"
)

// Config is what a server is told. The zero value of a field means what its
// comment says; only DataDir is required.
type Config struct {
	DataDir    string // snapshots, in version-2 below it
	DataLogDir string // transaction log; "" is DataDir

	ClientPortAddress string // "" is all interfaces
	ClientPort        int    // 0 is any free port

	TickTime          time.Duration // 0 is 3 s; sessions expire in steps of it
	MinSessionTimeout time.Duration // 0 is 2 ticks
	MaxSessionTimeout time.Duration // 0 is 20 ticks
	MaxClientCnxns    int           // connections from one address; 0 is no limit

	JuteMaxBuffer          int // longest request; 0 is 1048575
	GlobalOutstandingLimit int // requests waiting for the disk; 0 is 1000

	SnapCount     int   // transactions between snapshots; 0 is 100000
	SnapSizeLimit int64 // bytes of log between snapshots; 0 is 4 GiB, negative no limit
	PreAllocSize  int64 // step in which log files grow; 0 is 64 MiB
	// NoForceSync answers before transactions are on disk (forceSync=no).
	NoForceSync bool
	// TrustEmptySnapshot starts on a log without any snapshot.
	TrustEmptySnapshot bool

	PurgeInterval time.Duration // 0 is never
	PurgeRetain   int           // snapshots kept; at least 3

	FourLetterWords []string // commands allowed; nil is srvr, "*" is all
	SkipACL         bool     // no permission is ever checked
	SuperDigest     string   // "super:<hash>": the digest id that may do everything

	Loggers *logging.Loggers // nil is silent
}

const (
	defaultTickTime      = 3 * time.Second
	defaultJuteMaxBuffer = 0xfffff
	defaultOutstanding   = 1000
	defaultSnapCount     = 100000
	defaultSnapSizeLimit = 4 << 30
	defaultPreAllocSize  = 64 << 20
	purgeRetainMin       = 3
)

// withDefaults fills in what is zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.DataDir == "" {
		return c, fmt.Errorf("dataDir is not set")
	}
	setDefault(&c.DataLogDir, c.DataDir)
	setDefault(&c.TickTime, defaultTickTime)
	setDefault(&c.MinSessionTimeout, 2*c.TickTime)
	setDefault(&c.MaxSessionTimeout, 20*c.TickTime)
	setDefault(&c.JuteMaxBuffer, defaultJuteMaxBuffer)
	setDefault(&c.GlobalOutstandingLimit, defaultOutstanding)
	setDefault(&c.SnapCount, defaultSnapCount)
	setDefault(&c.SnapSizeLimit, defaultSnapSizeLimit)
	setDefault(&c.PreAllocSize, defaultPreAllocSize)
	c.SnapCount = max(c.SnapCount, 2)
	c.PurgeRetain = max(c.PurgeRetain, purgeRetainMin)
	if c.FourLetterWords == nil {
		c.FourLetterWords = []string{"srvr"}
	}
	if c.Loggers == nil {
		c.Loggers = logging.Discard()
	}
	if c.TickTime < time.Millisecond {
		return c, fmt.Errorf("tickTime %v is shorter than 1 ms", c.TickTime)
	}
	if c.MinSessionTimeout > c.MaxSessionTimeout {
		return c, fmt.Errorf("minSessionTimeout must not be larger than maxSessionTimeout")
	}
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// bindAddress is the address to listen on, in Java's form: name, slash,
// number.
func (c *Config) bindAddress() string {
	host := c.ClientPortAddress
	number := host
	switch {
	case host == "":
		host, number = "0.0.0.0", "0.0.0.0"
	case net.ParseIP(host) != nil:
		host = ""
	default:
		if addrs, err := net.LookupHost(host); err == nil {
			number = addrs[0]
		}
	}
	return fmt.Sprintf("%s/%s:%d", host, number, c.ClientPort)
}
