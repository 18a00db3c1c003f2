#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'HELP'
One run on a GKE cluster of TPUs through xpk, which makes the JobSet itself.

  launch/xpk.sh --cluster=CLUSTER --workload=NAME --type=TYPE --image=IMAGE [options] -- program arguments

Options:
  --cluster=CLUSTER    made before with `xpk cluster create`
  --workload=NAME      of this run; a workload of that name must not exist
  --type=TYPE          for example v5litepod-16
  --slices=N           number of slices (default 1)
  --image=IMAGE        built from launch/docker/Dockerfile with --build-arg ACCELERATOR=tpu and pushed
  --storage=NAME       xpk storage that holds the data and the workdir, mounted where it says (`xpk storage
                       list`); shared by all hosts
  --priority=LEVEL     default medium
  --restarts=N         how often a preempted workload starts again (default 20); it continues its run, as does
                       another workload with the same --workdir
  --dry-run            prints the command instead of running it

Example:
  launch/xpk.sh --cluster=tpu --workload=church --type=v5litepod-16 --image=IMAGE --storage=runs \
    -- --config=configs/lsun_church.py --workdir=/runs/lsun_church --config.data.data_dir=/runs/data
HELP
}

fail() { echo "xpk.sh: $1" >&2; exit 2; }

cluster='' workload='' type='' slices=1 image='' storage=() priority=medium restarts=20 dry_run=''
while (($#)); do
  case $1 in
    --cluster=*) cluster=${1#*=} ;;
    --workload=*) workload=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --slices=*) slices=${1#*=} ;;
    --image=*) image=${1#*=} ;;
    --storage=*) storage=("--storage=${1#*=}") ;;
    --priority=*) priority=${1#*=} ;;
    --restarts=*) restarts=${1#*=} ;;
    --dry-run) dry_run=yes ;;
    --) shift; break ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option '$1'; see --help." ;;
  esac
  shift
done
for needed in cluster workload type image; do
  [[ -n ${!needed} ]] || fail "--$needed=… is missing; see --help."
done
(($#)) || fail "the program's arguments are missing after --; see --help."

command=(xpk workload create "--cluster=$cluster" "--workload=$workload" "--tpu-type=$type"
  "--num-slices=$slices" "--docker-image=$image" "--priority=$priority" "--max-restarts=$restarts"
  "${storage[@]}"
  "--command=python -m experiments.transition $(printf '%q ' "$@")--processes=auto")
if [[ $dry_run ]]; then
  printf '%q ' "${command[@]}"
  echo
else
  exec "${command[@]}"
fi
