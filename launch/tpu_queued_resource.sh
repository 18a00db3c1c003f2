#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'HELP'
One run on a Cloud TPU that is asked for as a queued resource.

  launch/tpu_queued_resource.sh COMMAND --name=NAME --zone=ZONE [options] [-- program arguments]

Commands, in the order of a run (`all` does the first four):
  create   asks for the TPU and its queue place; one that was taken away is deleted and asked for again, one
           that is there or waits is kept
  wait     returns when it is there
  setup    copies this checkout to every worker, installs it, mounts the bucket at ~/runs
  run      starts the program on every worker; process i of n trains its share of the members
  fetch    copies the run's tables, figures and page to --out
  delete   gives the TPU back

Options:
  --name=NAME          of the queued resource and of its node
  --zone=ZONE          for example us-central1-a
  --type=TYPE          accelerator type, for example v5litepod-8 or v6e-16 (create)
  --runtime=VERSION    runtime version that belongs to the type, for example v2-alpha-tpuv6e (create)
  --spot               preemptible: when it is taken, give the same command again; the run continues from the
                       bucket (create)
  --bucket=BUCKET      Cloud Storage bucket for the workdir, shared by all workers (setup)
  --workdir=RUN        folder of the run inside the bucket (run, fetch)
  --out=FOLDER         local folder for the results (fetch)
  --project=PROJECT    where it is not gcloud's default
  --dry-run            prints the commands instead of running them

Example:
  launch/tpu_queued_resource.sh all --name=memgen --zone=us-central1-a --type=v5litepod-8 \
    --runtime=v2-alpha-tpuv5-lite --spot --bucket=my-bucket --workdir=fashion_mnist \
    -- --config=configs/fashion_mnist.py --config.data.data_dir=runs/tensorflow_datasets

gcloud must be installed and signed in, gcsfuse be in the runtime's image. The data set must lie in the bucket
already. `run` lasts as long as its connection: start it in tmux; after a break, `run` again continues.
HELP
}

fail() { echo "tpu_queued_resource.sh: $1" >&2; exit 2; }

command_name=${1:-}
case $command_name in
  create | wait | setup | run | fetch | delete | all) shift ;;
  -h | --help | help | "") usage; exit 0 ;;
  *) fail "unknown command '$command_name'; see --help." ;;
esac

name='' zone='' type='' runtime='' bucket='' workdir='' out='' spot=() project=() dry_run=''
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --runtime=*) runtime=${1#*=} ;;
    --bucket=*) bucket=${1#*=} ;;
    --workdir=*) workdir=${1#*=} ;;
    --out=*) out=${1#*=} ;;
    --project=*) project=("--project=${1#*=}") ;;
    --spot) spot=(--spot) ;;
    --dry-run) dry_run=yes ;;
    --) shift; break ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option '$1'; see --help." ;;
  esac
  shift
done
program=("$@")

need() { [[ -n ${!1} ]] || fail "$command_name needs --$1=…; see --help."; }
tpus() { tell gcloud compute tpus "$@" --zone="$zone" "${project[@]}"; }
on_all_workers() { tpus tpu-vm ssh "$name" --worker=all --command="$1"; }

tell() {
  if [[ $dry_run ]]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

# Empty where gcloud finds no such queued resource.
state() {
  gcloud compute tpus queued-resources describe "$name" --zone="$zone" "${project[@]}" \
    --format='value(state.state)' 2>/dev/null || true
}

create() {
  need type
  need runtime
  local there=''
  [[ $dry_run ]] || there=$(state)
  case $there in
    '') ;;
    FAILED | SUSPENDED) delete ;;
    *) echo "$name is there already: $there"; return ;;
  esac
  tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$type" \
    --runtime-version="$runtime" "${spot[@]}"
}

wait_until_there() {
  local now
  while [[ ! $dry_run ]]; do
    now=$(state)
    echo "$(date +%H:%M:%S) $now"
    case $now in
      ACTIVE) return ;;
      '') fail "gcloud finds no queued resource $name in $zone: create it first." ;;
      FAILED | SUSPENDED | SUSPENDING) fail "the request ended as $now: create asks for it again." ;;
    esac
    sleep 30
  done
}

setup() {
  need bucket
  local bundle
  bundle=$(mktemp --suffix=.tar.gz)
  git archive --format=tar.gz --output="$bundle" HEAD
  tpus tpu-vm scp "$bundle" "$name:memgen.tar.gz" --worker=all
  rm -f "$bundle"
  # The TPU's own Python may be older than 3.11; uv brings one. jax[tpu] must be of the pinned JAX's version.
  on_all_workers "
    set -e
    rm -rf memgen && mkdir memgen && tar -xzf memgen.tar.gz -C memgen
    mkdir -p runs && (mountpoint -q runs || gcsfuse --implicit-dirs '$bucket' runs)
    ln -sfn ../runs memgen/runs
    python3 -m pip install --quiet --user uv && export PATH=\$HOME/.local/bin:\$PATH
    uv python install --quiet 3.12
    make -C memgen PYTHON=\"\$(uv python find 3.12)\" .venv/.installed
    cd memgen && .venv/bin/python -m pip install --quiet \
      \"jax[tpu]==\$(.venv/bin/python -c 'import importlib.metadata as m; print(m.version(\"jax\"))')\"
  "
}

run() {
  need workdir
  ((${#program[@]})) || fail "run needs the program's arguments after --; see --help."
  on_all_workers "cd memgen && .venv/bin/python -m experiments.transition $(printf '%q ' "${program[@]}") \
    --workdir=runs/$(printf '%q' "$workdir") --processes=auto"
}

fetch() {
  need workdir
  need out
  need bucket
  tell mkdir -p "$out"
  tell gcloud storage rsync --recursive --exclude='(checkpoints|samples|neighbors)/.*' \
    "gs://$bucket/$workdir" "$out" "${project[@]}"
}

delete() { tpus queued-resources delete "$name" --force --quiet; }

need name
need zone
case $command_name in
  wait) wait_until_there ;;
  all)
    create
    wait_until_there
    setup
    run
    ;;
  *) "$command_name" ;;
esac
