#!/usr/bin/env bash
# What an accelerator must show, part by part in order of worth: everything one wants to know of a new card.
#
#   bash benchmarks/accelerator.sh [--quick] [--deterministic] [--out DIR] [PART ...]
#
# Parts: card unet_bf16 unet_f32 control search members transition resume onset ensemble (all by default).
# Each part's output stands in DIR/report.txt (default runs/accelerator) before the next begins, and a part that
# fails stops no other. --quick: sizes for two CPU cores, to see that it runs.
# --deterministic: kernels by rule in the two parts that train; `resume` then fails where a stopped run ends with other
# bytes. On a CPU it does so in any case, for that promise needs no flag there.
# FASHION_MNIST=FOLDER names the four original files (Debian's dataset-fashion-mnist has them in
# /usr/share/datasets/fashion-mnist); without them the two parts that train on images take digits.
# MORE="--config.NAME=VALUE ..." changes these two parts, CUT=STEP the step at which `resume` stops its run.
set -u
cd "$(dirname "$0")/.."
ALL=(card unet_bf16 unet_f32 control search members transition resume onset ensemble)
QUICK= DETERMINISTIC= OUT=runs/accelerator PARTS=()
while (($#)); do
  case $1 in
    --quick) QUICK=--quick ;;
    --deterministic) DETERMINISTIC=--deterministic ;;
    --out) OUT=${2:?--out needs a folder}; shift ;;
    *) [[ " ${ALL[*]} " == *" $1 "* ]] || { echo "accelerator.sh: no part $1; there are: ${ALL[*]}" >&2; exit 2; }
      PARTS+=("$1") ;;
  esac
  shift
done
((${#PARTS[@]})) || PARTS=("${ALL[@]}")
PYTHON=${PYTHON:-python3}
FASHION_MNIST=${FASHION_MNIST:-/usr/share/datasets/fashion-mnist}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$OUT"
export PYTHONUNBUFFERED=1

# The transition of parts `transition` and `resume`: cut from the paper's Fashion-MNIST at width 32.
STUDY=(--config=fashion_mnist:small "--config.data.name=idx:$FASHION_MNIST" "--config.num_train=(2,128,1024)"
  --config.train.num_steps=2000 --config.train.checkpoint_seconds=10 --config.train.log_every=200
  --config.train.num_snapshots=0 --config.phases.rule=paper)
STOP_AT=1000
if [[ $QUICK || ! -d $FASHION_MNIST ]]; then
  STUDY=(--config=digits:unet+smoke "--config.num_train=(2,16)" --config.model.width=8 --config.train.batch_size=16
    --config.train.num_steps=3000 --config.train.log_every=20 --config.train.checkpoint_seconds=1)
  STOP_AT=60
fi
CUT=${CUT:-$STOP_AT}
STUDY+=(${MORE:-})
TOGETHER=64
[[ $QUICK ]] && TOGETHER=4
transition=("$PYTHON" -m experiments.transition "${STUDY[@]}" $DETERMINISTIC)

card() { "$PYTHON" -m benchmarks.card; }
unet_bf16() { "$PYTHON" -m benchmarks.unet_step --widths 128 --members 1 --dtype bfloat16 --profile $QUICK; }
unet_f32() { "$PYTHON" -m benchmarks.unet_step --widths 128 --members 1 --dtype float32 --steps 5 $QUICK; }
control() { "$PYTHON" -m benchmarks.control $QUICK; }
search() { "$PYTHON" -m benchmarks.search_tiles $QUICK; }
members() { "$PYTHON" -m benchmarks.unet_step --config=fashion_mnist --widths 32 --members 1 2 --in_sequence $QUICK; }
ensemble() { "$PYTHON" -m benchmarks.ensemble --members "$TOGETHER" --contestants ensemble "one by one" $QUICK; }
onset() {
  local sizes=(--config=onset_unet "--config.num_train=(10,100)")
  [[ $QUICK ]] && sizes=(--config=onset_unet:smoke)
  "$PYTHON" -m experiments.onset "${sizes[@]}" --workdir="$WORK/onset" &&
    cut -d, -f1-4,6,8,10 "$WORK/onset/onset.csv"
}
run_transition() {
  "${transition[@]}" --workdir="$WORK/whole" && cut -d, -f1-3,6,9,12- "$WORK"/whole/{fractions,control}.csv || return
  # The speed and, on a device whose peak is known, the share of it; then how sampling went.
  grep '"stage": "train"' "$WORK/whole/metrics.jsonl" | tail -n 1
  grep '"stage": "sample"' "$WORK/whole/metrics.jsonl" | tail -n 1
}
# Whether training has logged step $1 or a later one: on a busy machine a line is written at any step.
reached() { grep -os '"step": *[0-9]*' "$2" | awk -v cut="$1" '$2 >= cut { found = 1 } END { exit !found }'; }
run_resume() {
  [[ -e $WORK/whole/fractions.csv ]] || "${transition[@]}" --workdir="$WORK/whole" >/dev/null || return 1
  "${transition[@]}" --workdir="$WORK/stopped" >"$WORK/log" 2>&1 &
  local run=$!
  until reached "$CUT" "$WORK/stopped/metrics.jsonl"; do
    kill -0 $run 2>/dev/null || { tail -n 5 "$WORK/log"; echo "ended before step $CUT"; return 1; }
    sleep 0.5
  done
  local stopped again trouble=0
  kill -TERM $run
  wait $run
  stopped=$?
  echo "stopped by SIGTERM after step $CUT: exit $stopped"
  "${transition[@]}" --workdir="$WORK/stopped" >"$WORK/log" 2>&1
  again=$?
  echo "the same command again: exit $again"
  if ((stopped != 130 || again)); then
    tail -n 5 "$WORK/log"
    echo "wanted are 130, then 0"
    trouble=1
  fi
  for file in fractions members; do
    if cmp -s "$WORK"/{whole,stopped}/$file.csv; then
      echo "$file.csv: the same bytes"
    else
      echo "$file.csv: other bytes"
      promised && trouble=1
    fi
  done
  "$PYTHON" -m benchmarks.same_samples "$WORK/whole" "$WORK/stopped" || trouble=1
  return $trouble
}
# Whether a stopped run promises the same bytes: by the flag, and on a CPU.
promised() {
  [[ $DETERMINISTIC ]] || "$PYTHON" -c 'import sys, jax; sys.exit(jax.default_backend() != "cpu")' 2>/dev/null
}

for part in "${PARTS[@]}"; do
  function=$part
  [[ $part == transition || $part == resume ]] && function=run_$part
  {
    echo "== $part"
    start=$(date +%s.%N)
    "$function" 2>"$WORK/errors"
    code=$?
    ((code)) && tail -n 15 "$WORK/errors"
    echo "-- $part: exit $code, $(date +%s.%N | awk -v s="$start" '{printf "%.1f", $1 - s}') s"
  } 2>&1 | tee -a "$OUT/report.txt"
done
! grep -q -- "^-- .*: exit [^0]" "$OUT/report.txt"
