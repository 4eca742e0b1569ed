# Thin wrappers: everything is in up.py, which needs no make.
# Arguments go through ARGS: make test ARGS="tests/queues -x"
PYTHON ?= python3
COMMANDS = demo run test test-long bench shots lint audit-dependencies down backup restore

.PHONY: help $(COMMANDS)

help:
	@$(PYTHON) up.py help

$(COMMANDS):
	@exec $(PYTHON) up.py $@ $(ARGS)
