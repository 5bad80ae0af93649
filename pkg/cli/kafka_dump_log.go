package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gregor/pkg/cli/jopt"
	"gregor/pkg/model"
)

var _ = register("kafka-dump-log", kafkaDumpLog)

// kafkaDumpLog is kafka-dump-log.sh of 2.8: it shows what is in the files of
// a partition. It needs no broker, writes nothing, and reads what Apache
// Kafka wrote as well as what a broker of ours did.
//
// This file has the options and the faults that are told at the end; logs,
// indexes and the decoders of records are in files of their own.
func kafkaDumpLog(_ context.Context, env *Env, args []string) int {
	o := newDumpOptions()
	set, err := o.parser.Parse(args)
	if err != nil {
		return optionFailure(env, o.parser, err)
	}
	o.Set = set
	if status, done := helpOrVersion(env, o.parser, set, "Shows the content of the files of a partition, to look into a log that seems to be broken."); done {
		return status
	}
	if err := o.check(); err != nil {
		return optionFailure(env, o.parser, err)
	}
	out := bufio.NewWriter(env.Stdout)
	d := &dumper{out: out, errors: env.Stderr, options: o}
	err = d.run(javaSplit(o.String(o.files)))
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	if err != nil {
		return uncaught(env, err)
	}
	d.tellFaults()
	return 0
}

// dumpOptions are the options of kafka-dump-log, and what was given of them.
type dumpOptions struct {
	parser *jopt.Parser
	*jopt.Set

	print, verifyOnly, sanityOnly, files, maxMessageSize *jopt.Option
	deep, valueDecoder, keyDecoder                       *jopt.Option
	offsets, transactions, metadata, skipMetadata        *jopt.Option
}

func newDumpOptions() *dumpOptions {
	p := jopt.New()
	return &dumpOptions{
		parser:     p,
		print:      p.Accepts("print-data-log", "Shows keys and values of the records of a log. Every option of a decoder includes it."),
		verifyOnly: p.Accepts("verify-index-only", "Holds an index against its log and shows no entry of it."),
		sanityOnly: p.Accepts("index-sanity-check", "Does nothing with an index but the check by which a broker decides at its start whether to build it anew."),
		files: p.Accepts("files", "REQUIRED: The files to show, separated by commas: logs, indexes, snapshots.").
			RequiredArg("file1, file2, ..."),
		maxMessageSize: p.Accepts("max-message-size", "How many bytes of a log to look at for the batch that an index entry points to.").
			RequiredArg("size").Int().Default("5242880"),
		deep: p.Accepts("deep-iteration", "Looks at every record and not only at the batches. --print-data-log includes it."),
		valueDecoder: p.Accepts("value-decoder-class", "How to read values: StringDecoder, LongDecoder, IntegerDecoder or DefaultDecoder of kafka.serializer.").
			OptionalArg("").Default(stringDecoder),
		keyDecoder: p.Accepts("key-decoder-class", "How to read keys: a class as for values.").
			OptionalArg("").Default(stringDecoder),
		offsets:      p.Accepts("offsets-decoder", "Reads the records as those of __consumer_offsets."),
		transactions: p.Accepts("transaction-log-decoder", "Reads the records as those of __transaction_state."),
		metadata: p.Accepts("cluster-metadata-decoder", "Would read the metadata log of a cluster without ZooKeeper. "+
			"Gregor has none and refuses the option."),
		skipMetadata: p.Accepts("skip-record-metadata", "Shows of each record only key and value."),
	}
}

func (o *dumpOptions) check() error {
	if err := o.Require(o.files); err != nil {
		return err
	}
	if o.Has(o.metadata) {
		return jopt.Usagef("Option \"%s\" is not supported: there is no metadata log in a cluster with ZooKeeper", o.metadata)
	}
	// Read once, so that Err knows.
	o.String(o.files)
	o.Int(o.maxMessageSize)
	o.String(o.valueDecoder)
	o.String(o.keyDecoder)
	return o.Err()
}

// printsRecords tells whether keys and values are to be shown.
func (o *dumpOptions) printsRecords() bool {
	return o.Count(o.print, o.offsets, o.transactions, o.valueDecoder, o.keyDecoder) > 0
}

// dumper shows files, and remembers what is wrong in them for the end.
type dumper struct {
	out     *bufio.Writer
	errors  io.Writer
	options *dumpOptions

	indexMismatches, gaps                     dumpFaults // by absolute path
	timeMismatches, timesOutOfOrder, notFound dumpFaults // in order
}

// dumpFaults are pairs of numbers that do not fit, by file.
type dumpFaults map[string][][2]int64

func (f *dumpFaults) add(file string, a, b int64) {
	if *f == nil {
		*f = dumpFaults{}
	}
	(*f)[file] = append((*f)[file], [2]int64{a, b})
}

// prepend is add for the faults that Kafka tells in reverse.
func (f *dumpFaults) prepend(file string, a, b int64) {
	f.add(file, a, b)
	list := (*f)[file]
	copy(list[1:], list)
	list[0] = [2]int64{a, b}
}

// files lists the names in the order in which Kafka prints them.
func (f dumpFaults) files() []string {
	names := slices.Sorted(maps.Keys(f))
	return scalaHashOrder(names, func(name string) uint32 { return uint32(model.JavaStringHash(name)) })
}

// scalaHashOrder lists keys in the order of a mutable HashMap or HashSet of
// Scala: by the lowest bits of the hash, and within a place by the hash.
func scalaHashOrder[K any](keys []K, hash func(K) uint32) []K {
	slots := uint32(16)
	for len(keys) >= int(slots)*3/4 {
		slots *= 2
	}
	spread := func(key K) uint32 { h := hash(key); return h ^ h>>16 }
	ordered := slices.Clone(keys)
	slices.SortStableFunc(ordered, func(a, b K) int {
		x, y := spread(a), spread(b)
		return cmp.Or(cmp.Compare(x&(slots-1), y&(slots-1)), cmp.Compare(int32(x), int32(y)))
	})
	return ordered
}

func (d *dumper) run(files []string) error {
	for _, name := range files {
		path := javaPath(name)
		fmt.Fprintf(d.out, "Dumping %s\n", path)
		if err := d.dump(path); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumper) dump(path string) error {
	base := filepath.Base("/" + path)
	dot := strings.LastIndexByte(base, '.')
	if base == "/" || dot < 0 {
		length := len(strings.TrimPrefix(base, "/"))
		return exceptionf("java.lang.StringIndexOutOfBoundsException", "begin -1, end %d, length %d", length, length)
	}
	switch base[dot:] {
	case ".log":
		return d.dumpLog(path)
	case ".index":
		return d.dumpIndex(path)
	case ".timeindex":
		return d.dumpTimeIndex(path)
	case ".snapshot":
		return d.dumpSnapshot(path)
	case ".txnindex":
		return d.dumpTxnIndex(path)
	}
	d.out.Flush() // its error comes back at the end
	fmt.Fprintf(d.errors, "Ignoring unknown file %s\n", path)
	return nil
}

// tellFaults is the end of the output: what does not fit together.
func (d *dumper) tellFaults() {
	for _, part := range []struct {
		faults       dumpFaults
		title, pairs string
	}{
		{d.indexMismatches, "Mismatches in :%s\n", "  Index offset: %d, log offset: %d\n"},
		{d.timeMismatches, "Found timestamp mismatch in :%s\n", "  Index timestamp: %d, log timestamp: %d\n"},
		{d.timesOutOfOrder, "Found out of order timestamp in :%s\n", "  Index timestamp: %d, Previously indexed timestamp: %d\n"},
		{d.notFound, "", "Indexed offset: %d, found log offset: %d\n"},
		{d.gaps, "Non-consecutive offsets in %s\n", "  %d is followed by %d\n"},
	} {
		for _, file := range part.faults.files() {
			if part.title == "" {
				fmt.Fprintln(d.errors, "The following indexed offsets are not found in the log.")
			} else {
				fmt.Fprintf(d.errors, part.title, file)
			}
			for _, pair := range part.faults[file] {
				fmt.Fprintf(d.errors, part.pairs, pair[0], pair[1])
			}
		}
	}
}

// javaSplit is split(",") of Java: empty words at the end are dropped.
func javaSplit(text string) []string {
	words := strings.Split(text, ",")
	for len(words) > 0 && words[len(words)-1] == "" && text != "" {
		words = words[:len(words)-1]
	}
	return words
}

// javaPath is a path as java.io.File shows it: without doubled slashes and
// without one at the end.
func javaPath(name string) string {
	for strings.Contains(name, "//") {
		name = strings.ReplaceAll(name, "//", "/")
	}
	if len(name) > 1 {
		name = strings.TrimSuffix(name, "/")
	}
	return name
}

// javaAbsolute is getAbsolutePath, which leaves dots in the path alone.
func javaAbsolute(path string) (string, error) {
	if strings.HasPrefix(path, "/") {
		return path, nil
	}
	dir, err := os.Getwd()
	return javaPath(dir + "/" + path), err
}

// sibling is the file of the same segment with another suffix.
func sibling(path, suffix string) (string, error) {
	path, err := javaAbsolute(path)
	if err != nil {
		return "", err
	}
	dir, name := filepath.Split(path)
	name, _, _ = strings.Cut(name, ".")
	return dir + name + suffix, nil
}

// baseOffsetOf is the number that a file's name begins with.
func baseOffsetOf(path string) (int64, error) {
	digits, _, _ := strings.Cut(filepath.Base(path), ".")
	offset, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, exceptionf(numberFormat, "For input string: \"%s\"", digits)
	}
	return offset, nil
}

// fileFailure is what Java throws for a file that cannot be opened or read.
func fileFailure(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exceptionf(noSuchFile, "%s", path)
	case errors.Is(err, fs.ErrPermission):
		return exceptionf("java.nio.file.AccessDeniedException", "%s", path)
	}
	if in := new(fs.PathError); errors.As(err, &in) {
		err = in.Err
	}
	text := err.Error()
	return exceptionf("java.io.IOException", "%s", strings.ToUpper(text[:1])+text[1:])
}
