#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'HELP'
Runs a tiny transition through launch/slurm.sbatch on a real SLURM of one node, which it starts on this machine's
loopback in a temporary folder and stops again. Needs root, Debian's packages slurm-wlm and munge, and .venv.

  launch/checks/slurm.sh [--python=PYTHON] [--keep]

The same run is done four ways, which must end with the same bytes: one job; one job of two tasks that share the
run (--processes=auto); an array of two parts with a merge that depends on it; and one job that gets SIGTERM in
its training, as before a preemption, and is requeued. --keep leaves the folder with the logs.
HELP
}

python=.venv/bin/python keep=''
for option in "$@"; do
  case $option in
    --python=*) python=${option#*=} ;;
    --keep) keep=yes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "slurm.sh: unknown option '$option'; see --help." >&2; exit 2 ;;
  esac
done
if [[ ! -x $(dirname "$python")/memgen || ! -f launch/slurm.sbatch ]]; then
  echo "slurm.sh: run it from the checkout's root, with its .venv." >&2
  exit 2
fi
for tool in munged slurmctld slurmd sbatch; do
  if ! command -v $tool >/dev/null; then
    echo "slurm.sh: $tool is missing: apt-get install slurm-wlm munge" >&2
    exit 2
  fi
done

there=$(mktemp -d)
services=()
stop() {
  for service in "${services[@]}"; do kill "$service" 2>/dev/null || true; done
  wait || true
  if [[ $keep ]]; then echo "kept: $there"; else rm -rf "$there"; fi
}
trap stop EXIT
chmod 711 "$there"

mkdir "$there/state" "$there/spool"
head -c 1024 /dev/urandom >"$there/munge.key"
chmod 400 "$there/munge.key"
host=$(hostname -s)
cat >"$there/slurm.conf" <<CONF
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$there/munge.socket,cred_expire=5
SlurmUser=root
StateSaveLocation=$there/state
SlurmdSpoolDir=$there/spool
SlurmctldPidFile=$there/slurmctld.pid
SlurmdPidFile=$there/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
memgen=$(dirname "$python")/memgen
export SLURM_CONF=$there/slurm.conf MEMGEN=$memgen JAX_PLATFORMS=cpu

munged --foreground --force --num-threads=1 --key-file="$there/munge.key" --socket="$there/munge.socket" \
  --pid-file="$there/munged.pid" --log-file="$there/munged.log" --seed-file="$there/munged.seed" &
services+=($!)
sleep 1
slurmctld -D >"$there/slurmctld.log" 2>&1 &
services+=($!)
slurmd -D -N "$host" >"$there/slurmd.log" 2>&1 &
services+=($!)
for _ in {1..60}; do
  if [[ $(sinfo --noheader --format=%T 2>/dev/null) == idle ]]; then break; fi
  sleep 0.5
done
sinfo

tiny=(--config=configs/digits.py:smoke '--config.num_train=(2,8)' --config.train.num_steps=4000
  --config.train.checkpoint_seconds=0.5 --config.train.log_every=100 --config.phases.num_bootstrap=10)
submit() { sbatch --parsable --output="$there/%x-%j.log" "$@"; }
# wait_for JOB: returns when it has left the queue; its state must then be COMPLETED.
wait_for() {
  while [[ $(squeue --noheader --jobs="$1" 2>/dev/null) ]]; do sleep 1; done
  if [[ $(scontrol show job "$1") != *JobState=COMPLETED* ]]; then
    scontrol show job "$1"
    tail -n 20 "$there"/*.log
    exit 1
  fi
}
same() { cmp "$there/one/fractions.csv" "$there/$1/fractions.csv" && echo "$1: the bytes of one job"; }

sbatch --test-only launch/slurm.sbatch "${tiny[@]}" --workdir="$there/one"

job=$(submit --job-name=one launch/slurm.sbatch "${tiny[@]}" --workdir="$there/one")
wait_for "$job"
[[ -s $there/one/report.html ]]
echo "one job: done"

job=$(submit --job-name=tasks --ntasks=2 launch/slurm.sbatch "${tiny[@]}" --workdir="$there/tasks")
wait_for "$job"
grep -q "process 0 writes the report" "$there"/tasks-*.log
same tasks

job=$(submit --job-name=array --array=0-1 launch/slurm.sbatch "${tiny[@]}" --workdir="$there/array")
merge=$(submit --job-name=merge --dependency=afterok:"$job" launch/slurm.sbatch "${tiny[@]}" --workdir="$there/array")
wait_for "$merge"
grep -q "This shard is done" "$there"/array-*.log
same array

job=$(submit --job-name=preempted launch/slurm.sbatch "${tiny[@]}" --workdir="$there/preempted")
until compgen -G "$there/preempted/checkpoints/*/[0-9]*" >/dev/null; do sleep 0.1; done
scancel --signal=TERM "$job"
wait_for "$job"
grep -q "Interrupted; the same command continues" "$there"/preempted-*.log
scontrol show job "$job" | grep -o "Restarts=[1-9]"
same preempted
