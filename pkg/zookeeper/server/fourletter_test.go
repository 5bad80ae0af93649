package server

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"gregor/pkg/zookeeper/jute"
)

// ask sends a four-letter word, byte by byte, and returns the answer.
func ask(t *testing.T, s *Server, word string) string {
	t.Helper()
	r := connectTCP(t, s)
	for i := range word {
		_, err := io.WriteString(r.nc, word[i:i+1])
		require.NoError(t, err)
	}
	b, err := io.ReadAll(r.nc)
	require.NoError(t, err)
	return string(b)
}

func TestFourLetterWords(t *testing.T) {
	s := start(t, func(c *Config) { c.FourLetterWords = []string{"*"}; c.MaxClientCnxns = 60 })
	r := open(t, s, 5*time.Second)
	r.call(jute.OpCreate, create("/e", 1, worldAll))
	r.call(jute.OpGetData, pathWatch("/e", true))

	for word, pattern := range map[string]string{
		"ruok":   `imok`,
		"ruok\n": `imok`,
		"isro":   `rw`,
		"srvr": `Zookeeper version: 3\.5\.9-\S+, built on \d\d/\d\d/\d{4} \d\d:\d\d GMT\nLatency min/avg/max: \d+/\d+/\d+\nReceived: \d+\nSent: \d+\n` +
			`Connections: \d\nOutstanding: 0\nZxid: 0x2\nMode: standalone\nNode count: 6\n`,
		"stat": `Zookeeper version: .*\nClients:\n( /127.0.0.1:\d+\[[01]\]\(queued=0,recved=\d+,sent=\d+\)\n)+\nLatency min/avg/max: (?s:.*)Node count: 6\n`,
		"conf": fmt.Sprintf(`clientPort=%d\nsecureClientPort=-1\ndataDir=.*/version-2\ndataDirSize=\d+\ndataLogDir=.*/version-2\ndataLogSize=\d+\n`+
			`tickTime=100\nmaxClientCnxns=60\nminSessionTimeout=200\nmaxSessionTimeout=60000\nserverId=0\n`, s.port()),
		"cons": fmt.Sprintf(`(?s:.*) /127.0.0.1:\d+\[1\]\(queued=0,recved=3,sent=3,sid=0x%x,lop=GETD,est=\d+,to=5000,lcxid=0x2,lzxid=0x2,lresp=\d+,llat=\d+,minlat=\d+,avglat=\d+,maxlat=\d+\)\n(?s:.*)\n`, r.session),
		"envi": `Environment:\nzookeeper.version=.*\nhost.name=.*\n(.+=.*\n)+`,
		"mntr": `zk_version\t.*\nzk_avg_latency\t\d+\nzk_max_latency\t\d+\nzk_min_latency\t\d+\nzk_packets_received\t\d+\nzk_packets_sent\t\d+\n` +
			`zk_num_alive_connections\t\d\nzk_outstanding_requests\t0\nzk_server_state\tstandalone\nzk_znode_count\t6\nzk_watch_count\t1\n` +
			`zk_ephemerals_count\t1\nzk_approximate_data_size\t46\n(zk_open_file_descriptor_count\t\d+\n)?zk_max_file_descriptor_count\t\d+\n`,
		"dirs": `datadir_size: \d+\nlogdir_size: \d+\n`,
	} {
		t.Run(strings.TrimSpace(word), func(t *testing.T) {
			require.Regexp(t, regexp.MustCompile("^"+pattern+"$"), ask(t, s, word))
		})
	}
	require.Equal(t, "Connection stats reset.\n", ask(t, s, "crst"))
	require.Equal(t, "Server stats reset.\n", ask(t, s, "srst"))
	require.Regexp(t, `recved=0,sent=0,sid=`, ask(t, s, "cons"))
	stats, ok := zk.FLWSrvr([]string{s.Addr()}, time.Second)
	require.True(t, ok, stats[0].Error)
	require.Equal(t, zk.ModeStandalone, stats[0].Mode)
}

func TestWhitelist(t *testing.T) {
	s := start(t)
	require.Equal(t, "ruok is not executed because it is not in the whitelist.\n", ask(t, s, "ruok"))
	require.Contains(t, ask(t, s, "srvr"), "Mode: standalone")
	r := connectTCP(t, s)
	_, err := io.WriteString(r.nc, "nope")
	require.NoError(t, err)
	r.closed()
}
