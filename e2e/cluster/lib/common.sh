# shellcheck shell=bash
# What every part of the driver uses: constants, messages, and running things inside a cluster's namespaces.
# I/O: terminal, the state folder, processes.

CACHE=${SHOWRUNNER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/showrunner}
STATE_ROOT=${SHOWRUNNER_STATE:-/var/lib/showrunner-clusters}
DEFAULT_NAME=showrunner
# Longest name: it becomes part of a node name, a cgroup and a socket path (108 bytes at most).
readonly MAX_NAME=32 MAX_STATE_ROOT=40

# Every cluster gets 10.64.N.0/24 for its node and pods, and 10.65.N.0/30 for the link to the host.
readonly POD_NETWORK=10.64 LINK_NETWORK=10.65 MAX_CLUSTERS=250
# Inside, all clusters look alike.
readonly SERVICE_CIDR=10.96.0.0/16 KUBERNETES_IP=10.96.0.1 DNS_IP=10.96.0.10
readonly BRIDGE=showrunner0 BUCKET=showrunner CNI_PLUGINS=/usr/lib/cni
API_PORT=6443 STORE_PORT=9000 STORE_BACKEND=127.0.0.1:9001 ETCD_PORT=2379 ETCD_PEER_PORT=2380
# What a cluster of processes is started with besides (process.sh).
APISERVER_FLAGS=() CONTROLLER_MANAGER_FLAGS=() SCHEDULER_FLAGS=()
# Where a command on a cluster keeps others off it.
LOCKS=/run/lock
# How long one thing may take to come up before `up` gives up and shows its log, and to go down before it is named.
readonly UP_TIMEOUT=60 DOWN_TIMEOUT=20 LOCK_TIMEOUT=120
# What runs, in the order `status` shows it.
COMPONENTS=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy coredns s3 storelog)
# The built programs, by the name of their folder in tools/.
readonly TOOLS=(controlplane coredns helm pause probe s3 storelog)

say() { echo "cluster: $*" >&2; }
fail() {
  echo "cluster: $*" >&2
  exit 1
}

# Points all paths at one cluster; makes nothing.
use_cluster() { # NAME
  NAME=$1
  [[ $NAME =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ && ${#NAME} -le $MAX_NAME ]] ||
    fail "failed to accept the name '$NAME': use 1 to $MAX_NAME of a-z, 0-9 and -, beginning and ending with a letter or digit"
  # The limit is a socket's path, which only a cluster with containers has, and so root.
  [[ $STATE_ROOT == /* && ($EUID -ne 0 || ${#STATE_ROOT} -le $MAX_STATE_ROOT) && $STATE_ROOT != *[[:space:]]* ]] ||
    fail "failed to accept SHOWRUNNER_STATE='$STATE_ROOT': use an absolute path of at most $MAX_STATE_ROOT characters without spaces"
  STATE=$STATE_ROOT/$NAME
  LOGS=$STATE/logs
  PIDS=$STATE/pids
  PKI=$STATE/pki
  CONF=$STATE/conf
  SOCKET=$STATE/containerd.sock
  CGROUP=/showrunner-$NAME
  NODE=$NAME-node
}

# Reads what `up` chose for this cluster: its number and with it every address.
load_cluster() {
  [[ -f $STATE/number ]] || fail "failed to find cluster '$NAME' under $STATE_ROOT: start it with 'cluster up $NAME'"
  NUMBER=$(<"$STATE/number")
  local name folder
  while read -r name folder; do PROGRAMS[$name]=$folder; done <"$STATE/tools"
  NODE_IP=$POD_NETWORK.$NUMBER.1
  HOST_IP=$LINK_NETWORK.$NUMBER.1
  [[ ! -f $STATE/node ]] || use_process_node
}

require_root() {
  [[ $EUID -eq 0 ]] || fail "failed to start: a cluster needs root (namespaces, mounts, cgroups); run it with sudo, or without containers: cluster up $NAME --node process"
}

# A process is known by its pid and when it started, so that a pid used again by another is never signalled.
started_at() { # PID
  local line
  line=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  line=${line##*) }
  # shellcheck disable=SC2086 # the fields are wanted one by one
  set -- $line
  [[ $1 != Z ]] && echo "${20}"
}

# The process that holds the cluster's namespaces; it is their init: with it, everything inside ends.
holder_alive() {
  local pid started
  [[ -f $STATE/holder ]] && read -r pid started <"$STATE/holder" && [[ $(started_at "$pid") == "$started" ]] && HOLDER=$pid
}

# Runs a command in the cluster's network, mount and process namespaces, with nothing of the caller's environment.
inside() { # COMMAND...
  nsenter --target "$HOLDER" --mount --net --pid -- env -i PATH="$PATH" HOME=/root "$@"
}

# Starts a component that outlives this script; its log is logs/NAME.log, its pid is the one it has inside.
start() { # COMPONENT COMMAND...
  local component=$1
  shift
  # The quotes are the inner shell's.
  # shellcheck disable=SC2016
  inside bash -c 'log=$1 pid=$2; shift 2; setsid "$@" >>"$log" 2>&1 </dev/null & echo $! >"$pid"' start \
    "$LOGS/$component.log" "$PIDS/$component" "$@" 9>&-
}

running() { # COMPONENT
  [[ -f $PIDS/$1 ]] && inside kill -0 "$(<"$PIDS/$1")" 2>/dev/null
}

# Ends one component and waits until it is gone.
stop() { # COMPONENT
  local deadline=$((SECONDS + DOWN_TIMEOUT)) pid
  running "$1" || return 0
  pid=$(<"$PIDS/$1")
  inside kill "$pid"
  while running "$1"; do
    [[ $SECONDS -lt $deadline ]] || inside kill -9 "$pid" 2>/dev/null || true
    sleep 0.02
  done
}

# Waits for a condition while the component it depends on lives; shows that component's log when it does not come.
wait_for() { # WHAT COMPONENT COMMAND...
  local what=$1 component=$2 deadline=$((SECONDS + UP_TIMEOUT))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! running "$component"; then
      show_log "$component"
      fail "failed to get $what: $component ended; its log is above"
    fi
    if [[ $SECONDS -ge $deadline ]]; then
      show_log "$component"
      fail "failed to get $what within $UP_TIMEOUT s; the end of the log of $component is above"
    fi
    sleep 0.05
  done
}

show_log() { tail -n 20 "$LOGS/$1.log" >&2 || true; }

# The programs that this cluster was started with, even when the checkout has moved on.
declare -A PROGRAMS=()
tool() { # TOOL [PROGRAM in it]
  echo "${PROGRAMS[$1]}/${2:-$1}"
}

kubectl_admin() { "$(tool controlplane kubectl)" --kubeconfig "$STATE/kubeconfig" "$@"; }
