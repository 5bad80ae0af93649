# What a newcomer types. README.md says more about each.
.PHONY: build run test check compat bench race fuzz crash soak mutation clean

build:
	@scripts/build.sh

# the bundled ZooKeeper on :2181 and a broker on :9092, in one process
run: build
	@GREGOR_HOME=$(CURDIR) exec bin/gregor quickstart

# everything that needs no other program
test:
	go test ./...

# format, vet, static analysis, layering, docs, banned calls
check:
	@scripts/lint.sh

# other people's clients, tools and brokers against ours
compat: build
	@test/compat/run.sh

# ours and Apache Kafka side by side, in ratios
bench: build
	@test/bench/run.sh

race:
	go test -race ./...

fuzz:
	@scripts/fuzz.sh

# the log under crashes and failing disks: thousands of histories, 200 kills
crash:
	@scripts/crash.sh

# 500 faults in clusters of processes; GREGOR_FAULTS and GREGOR_SEED change that
soak: build
	go test -tags soak -count=1 -timeout 6h -v -run TestSoak ./test/soak

# brokers with deliberate faults, each of which a history must find
mutation: build
	go test -tags soak -count=1 -timeout 6h -v -run 'TestMutations' ./test/soak

clean:
	rm -f bin/gregor
	rm -rf logs
