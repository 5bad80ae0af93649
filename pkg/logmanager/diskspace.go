package logmanager

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gregor/pkg/commitlog"
)

const (
	diskCheckInterval = time.Minute
	nearlyFullPercent = 90
	repeatFullAfter   = time.Hour
	topicsNamed       = 3
)

// warnOfFullDisks tells of each directory whose disk is nearly full, with the
// topics that take most of it and how long they keep their records. It does so
// when that begins, and again each hour while it lasts.
func (m *Manager) warnOfFullDisks(now time.Time) {
	for _, dir := range m.LiveDirs() {
		total, free, err := m.opts.DiskSpace(dir)
		if err != nil || total == 0 {
			continue
		}
		percent := int(100 - free*100/total)
		if percent < nearlyFullPercent {
			delete(m.fullSince, dir)
			continue
		}
		if since, told := m.fullSince[dir]; told && now.Sub(since) < repeatFullAfter {
			continue
		}
		m.fullSince[dir] = now
		m.log.Warnf("The disk of log directory %s is %d %% full, %d MB are left. %s", dir, percent, free/1e6, largestTopics(m.logsIn(dir)))
	}
}

type topicSize struct {
	topic   string
	bytes   int64
	options commitlog.Options
}

// largestTopics names the topics that have most bytes.
func largestTopics(logs []*commitlog.Log) string {
	var topics []topicSize
	for _, l := range logs { // by topic
		name := l.Partition().Topic
		if len(topics) == 0 || topics[len(topics)-1].topic != name {
			topics = append(topics, topicSize{topic: name, options: l.Options()})
		}
		topics[len(topics)-1].bytes += l.Size()
	}
	slices.SortStableFunc(topics, func(a, b topicSize) int { return int(min(max(b.bytes-a.bytes, -1), 1)) })
	var named []string
	for _, t := range topics[:min(topicsNamed, len(topics))] {
		named = append(named, fmt.Sprintf("%s with %d MB (%s)", t.topic, t.bytes/1e6, keeps(&t.options)))
	}
	if len(named) == 0 {
		return "No topic is in it."
	}
	return "The largest topics in it: " + strings.Join(named, ", ")
}

func keeps(o *commitlog.Options) string {
	if !o.Delete {
		return "cleanup.policy=compact"
	}
	return fmt.Sprintf("retention.ms=%d, retention.bytes=%d", o.RetentionMs, o.RetentionBytes)
}
