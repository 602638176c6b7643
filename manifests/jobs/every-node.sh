#!/bin/sh
# Applies the policy once on every node, each by a Job of its own, a few at a time; the first node that fails stops the
# rest. Leaves nothing running.
#
#   kubectl apply -k manifests/jobs
#   manifests/jobs/every-node.sh [--selector pool=web] [--max-unavailable 1] [--image IMAGE]
#
# Ends with 0 when every node is done, with 1 when one was not; nodes that were not begun are named.
set -eu
cd "$(dirname "$0")"
namespace=kubelet-sysctl-agent
selector='' at_once=1 image=''
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64; }
  case $1 in
  --selector) selector=$2 ;;
  --max-unavailable) at_once=$2 ;;
  --image) image=$2 ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
  esac
  shift 2
done
case $at_once in '' | *[!0-9]* | 0) echo 'every-node: --max-unavailable must be a number from 1 on' >&2; exit 64 ;; esac

# Names are the API server's: letters, digits, dashes and dots.
nodes=$(kubectl get nodes --selector "$selector" --output 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}')
[ -n "$nodes" ] || { echo 'every-node: no node matches' >&2; exit 1; }

# Standard output: the Job's name.
begin() {
  sed -e "s/NODE_NAME/$1/" ${image:+-e "s|image: .*|image: $image|"} one-node.yaml |
    kubectl create --filename - --output 'jsonpath={.metadata.name}'
}

# complete, failed, or nothing yet.
verdict() {
  kubectl get job "$1" --namespace "$namespace" --output \
    'jsonpath={range .status.conditions[?(@.status=="True")]}{.type}{"\n"}{end}' | sed -n 's/^Complete$/complete/p; s/^Failed$/failed/p'
}

# Waits until one of the running ones (NODE/JOB …) has ended; it and its verdict stand in $ended and $result.
wait_for_one() {
  while :; do
    for pair in $running; do
      result=$(verdict "${pair#*/}")
      if [ -n "$result" ]; then
        ended=$pair
        return
      fi
    done
    # No watch over several Jobs at once in kubectl: the first one's end, or this long.
    set -- $running
    kubectl wait "job/${1#*/}" --namespace "$namespace" --for=condition=Complete --timeout=5s >/dev/null 2>&1 || :
  done
}

running='' count=0 failed='' skipped='' total=0 done_nodes=0
settle() {
  wait_for_one
  rest=''
  for pair in $running; do [ "$pair" = "$ended" ] || rest="$rest $pair"; done
  running=$rest
  count=$((count - 1))
  echo "every-node: ${ended%/*}: $result"
  kubectl logs "job/${ended#*/}" --namespace "$namespace" --tail 20 2>/dev/null | sed 's/^/    /' || :
  if [ "$result" = failed ]; then failed="$failed ${ended%/*}"; else done_nodes=$((done_nodes + 1)); fi
}

for node in $nodes; do
  total=$((total + 1))
  while [ -z "$failed" ] && [ "$count" -ge "$at_once" ]; do settle; done
  if [ -n "$failed" ]; then
    skipped="$skipped $node"
    continue
  fi
  job=$(begin "$node")
  echo "every-node: $node: begun ($job)"
  running="$running $node/$job"
  count=$((count + 1))
done
while [ "$count" -gt 0 ]; do settle; done

echo "every-node: $done_nodes of $total nodes done"
if [ -n "$failed" ]; then
  echo "every-node: failed:$failed" >&2
  [ -z "$skipped" ] || echo "every-node: not begun:$skipped" >&2
  exit 1
fi
