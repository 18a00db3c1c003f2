# `make demo`: from a fresh checkout to the transition on real digits. `make test`: the test suite.
PYTHON ?= python3
# Bytecode is kept: a test session starts dozens of processes, and each would compile the package anew.
export PYTHONDONTWRITEBYTECODE :=
RUN := .venv/bin/python

PEERS := .venv-peers/bin/python
DOCS := .venv-docs/bin/python

.PHONY: demo test test-whole test-slow test-peers test-pages lint format lock wheel reference docs clean

demo: .venv/.installed
	$(RUN) -m memgen_jax demo --workdir=runs/digits

# On up to four cores: a test process holds about 1 GB. Modules are begun in the order of tests/conftest.py, the longest
# first: with pytest-xdist's own order, by number of tests, the longest single tests come last and cores wait for them.
SPREAD := -n auto --maxprocesses=4 --dist=loadscope --no-loadscope-reorder
# Each process has one core, so one thread of BLAS; and XLA's older code for a processor, which compiles in two thirds of
# the time. The other targets run tests by what is usual.
FAST := OPENBLAS_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_use_fusion_emitters=false $$XLA_FLAGS"
test: .venv/.installed
	$(FAST) $(RUN) -m pytest $(SPREAD)

# Whole runs beside each other: on other numbers of devices, in parts, after damage. CI runs them after `make test`.
test-whole: .venv/.installed
	$(RUN) -m pytest $(SPREAD) -m whole

test-slow: .venv/.installed
	$(RUN) -m pytest -m slow

# The tests that compare with PyTorch, diffusers, lpips and faiss, in an environment of their own, the slow ones of the
# bridges too, which `make test-slow` lacks the packages for; none may be skipped.
test-peers: .venv-peers/.installed
	$(PEERS) -m memgen_jax fetch-weights
	$(PEERS) -m memgen_jax fetch-weights stlpips
	$(PEERS) -m pytest --none-skipped $(SPREAD) tests/bridges tests/metrics \
	  tests/diffusion/test_diffusers_schedulers.py tests/models tests/neighbors/test_faiss.py tests/audit/test_audit.py
	$(PEERS) -m pytest --none-skipped -n auto --maxprocesses=4 -m slow tests/bridges

# Pages in a Chromium: their sliders, and the rules of axe-core, over the site too where `make docs` has built it.
AXE := build/node_modules/axe-core/axe.min.js
test-pages: .venv/.installed $(AXE)
	.ci/browser
	$(RUN) -m pytest --none-skipped tests/report/test_axe.py tests/report/test_sliders.py
	if [ -d site ]; then find site -name '*.html' -print0 | \
	  xargs -0 -n 20 -P 2 $(RUN) -m tests.report.axe_pages --crossed $(AXE); fi

lint: .venv/.installed
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

format: .venv/.installed
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

# Writes the requirements files anew from pyproject.toml (needs uv). Both Python 3.11 and newer are resolved. The peers'
# leave out torch, whose releases for CUDA bring gigabytes: requirements-torch.txt has that line, written by hand.
LOCK := uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
  --custom-compile-command "make lock" --quiet pyproject.toml
lock:
	$(LOCK) --extra dev -o requirements.txt
	printf '%s; sys_platform == "never"\n' torch torchvision | \
	  $(LOCK) --extra dev --extra peers --constraint requirements.txt --override /dev/stdin -o requirements-peers.txt
	$(LOCK) --extra docs --constraint requirements.txt -o requirements-docs.txt

# Writes the pages of docs/ that are made of dictionaries: settings, files, columns.
reference: .venv/.installed
	$(RUN) -m memgen_jax.programs.reference

# The site, in site/: open site/index.html. Warnings and dead links end the build; notebooks are run for it.
docs: .venv-docs/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS) -m mkdocs build

# dist/memgen_jax-….whl of the files that are here now; builds in a copy, so that nothing old gets in.
wheel: .venv/.installed
	@rm -rf build/wheel && mkdir -p build/wheel dist && rm -f dist/memgen_jax-*.whl
	@cp -R memgen_jax configs pyproject.toml setup.py README.md LICENSE build/wheel
	$(RUN) -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index \
	  --wheel-dir dist build/wheel
	@rm -rf build/wheel && ls dist/memgen_jax-*.whl

clean:
	rm -rf .venv .venv-peers .venv-docs site

# The marker is written last, so an install that was cut short starts over.
.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "memgen_jax needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

.venv-peers/.installed: requirements-peers.txt requirements-torch.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv-peers
	$(PEERS) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-peers.txt
	$(PEERS) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-torch.txt
	$(PEERS) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

$(AXE): Makefile
	.ci/browser
	npm install --loglevel=error --prefix build --no-save --no-package-lock axe-core@4.14.1
	@touch $@

.venv-docs/.installed: requirements-docs.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv-docs
	$(DOCS) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.txt
	$(DOCS) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
