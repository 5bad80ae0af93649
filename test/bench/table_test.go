//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// row is one line of the table. A figure of 0 was not measured.
type row struct {
	what         string
	unit         string
	ours, theirs float64
	goal         string
	met          bool // as far as the goal can be judged
}

// table collects the rows in the order they were measured.
type table struct{ rows []row }

// goal says what a row should come to: a limit for our figure, or one for the
// ratio of ours to theirs. The zero value wants nothing.
type goal struct {
	atMost       float64 // our figure
	ratioAtMost  float64
	ratioAtLeast float64
}

func (g goal) judge(ours, theirs float64) (text string, met bool) {
	met = true
	var parts []string
	if g.atMost > 0 {
		parts = append(parts, fmt.Sprintf("<= %s", figure(g.atMost)))
		met = met && ours <= g.atMost
	}
	if g.ratioAtMost > 0 {
		parts = append(parts, fmt.Sprintf("<= %.2f x", g.ratioAtMost))
		met = met && ours <= g.ratioAtMost*theirs
	}
	if g.ratioAtLeast > 0 {
		parts = append(parts, fmt.Sprintf(">= %.2f x", g.ratioAtLeast))
		met = met && ours >= g.ratioAtLeast*theirs
	}
	return strings.Join(parts, ", "), met
}

// add enters a row and shows it at once.
func (tb *table) add(t *testing.T, what, unit string, ours, theirs float64, g goal) {
	t.Helper()
	text, met := g.judge(ours, theirs)
	r := row{what, unit, ours, theirs, text, met}
	tb.rows = append(tb.rows, r)
	t.Logf("%s: ours %s, Kafka %s, ratio %s (%s)", what, figure(ours), figure(theirs), r.ratio(), unit)
}

func (r row) ratio() string {
	if r.ours == 0 || r.theirs == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", r.ours/r.theirs)
}

func figure(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// print shows all rows with what they were measured on.
func (tb *table) print() {
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(os.Stdout, "\n%s, %d CPUs, %s, %s, against Apache Kafka %s\n\n", processor(), runtime.NumCPU(), runtime.Version(), javaVersion(), kafkaVersion)
	fmt.Fprintln(out, "what\tunit\tours\tKafka\tratio\tgoal\t")
	for _, r := range tb.rows {
		verdict := ""
		if r.goal != "" && !r.met {
			verdict = "MISSED"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.unit, figure(r.ours), figure(r.theirs), r.ratio(), r.goal, verdict)
	}
	out.Flush()
	fmt.Fprintln(os.Stdout)
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

func javaVersion() string {
	text, err := exec.Command("java", "-version").CombinedOutput()
	if err != nil {
		return "Java"
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.ReplaceAll(first, `"`, "")
}

// median of figures; it sorts them.
func median(figures []float64) float64 {
	if len(figures) == 0 {
		return 0
	}
	slices.Sort(figures)
	if n := len(figures); n%2 == 0 {
		return (figures[n/2-1] + figures[n/2]) / 2
	}
	return figures[len(figures)/2]
}
