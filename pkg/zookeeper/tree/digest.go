package tree

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// nodeDigest is ZooKeeper's checksum of one node (digest version 2, since
// 3.6): CRC-32 of path, data and 60 bytes of stat. The root's path counts as
// empty, and what is below /zookeeper does not count at all. The tree's
// digest is the sum over the nodes.
func nodeDigest(path string, n *Node) uint64 {
	if strings.HasPrefix(path, systemPath+"/") {
		return 0
	}
	if path == rootPath {
		path = ""
	}
	var stat [60]byte
	for i, v := range [5]int64{n.Czxid, n.Mzxid, n.Pzxid, n.Ctime, n.Mtime} {
		binary.BigEndian.PutUint64(stat[8*i:], uint64(v))
	}
	for i, v := range [3]int32{n.Version, n.Cversion, n.Aversion} {
		binary.BigEndian.PutUint32(stat[40+4*i:], uint32(v))
	}
	binary.BigEndian.PutUint64(stat[52:], uint64(n.Owner))
	crc := crc32.ChecksumIEEE([]byte(path))
	crc = crc32.Update(crc, crc32.IEEETable, n.Data)
	return uint64(crc32.Update(crc, crc32.IEEETable, stat[:]))
}
