# make run    a working console on this machine
# make test   every test, with its set-up
# make check  format, lint, types, import contracts, migrations, known weaknesses
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Some machines forbid it, yet the tests start hundreds of Pythons: each would compile the console and the tests anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test check format types structure weaknesses tools

run: $(VENV)/.installed
	$(BIN)/python manage.py serve --demo

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@

# What the tests drive for real: OpenSSH's sshd, Chromium, Node.
tools:
	@sh tests/support/install_tools.sh

test: $(VENV)/.installed-dev tools
	node --test tests/js/
	# More at once than there are cores: many wait for a server or a browser. A file stays with one process, which
	# starts its servers once; the order of the files is that of tests/conftest.py.
	$(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder

# Side by side with make -j: the types alone take as long as the rest.
check: format types structure weaknesses

format: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/djlint --quiet --lint templates

types: $(VENV)/.installed-dev
	$(BIN)/mypy

structure: $(VENV)/.installed-dev
	$(BIN)/lint-imports
	MUSTER_DATA=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run
	cd static/vendor && sha256sum --quiet -c SHA256SUMS

weaknesses: $(VENV)/.installed-dev
	$(BIN)/python -m tests.support.audit
