# shellcheck shell=bash
# A cluster whose node runs pods as processes: the same control plane and S3 server as plain processes of whoever calls,
# on loopback ports of its own. No root, no containers, no namespaces; so also no Services, no DNS and no pod network.
# I/O: processes of this machine; the state folder.

# Ten ports a cluster, below those that kernels give out by themselves.
readonly FIRST_PORT=21000 PORTS=10
readonly PROCESS_COMPONENTS=(etcd kube-apiserver kube-controller-manager kube-scheduler process-node s3 storelog)
readonly PROCESS_TOOLS=(controlplane helm probe s3 storelog)

# Where a caller without root keeps clusters and locks.
use_home_of_process_clusters() {
  [[ -z ${SHOWRUNNER_STATE:-} && $EUID -ne 0 ]] || return 0
  STATE_ROOT=${XDG_STATE_HOME:-$HOME/.local/state}/showrunner-clusters
  LOCKS=$STATE_ROOT
}

# Every address and every way to touch a process, in place of those of a cluster with containers.
use_process_node() {
  local first=$((FIRST_PORT + NUMBER * PORTS))
  NODE_KIND=process
  COMPONENTS=("${PROCESS_COMPONENTS[@]}")
  NODE_IP=127.0.0.1
  HOST_IP=127.0.0.1
  API_PORT=$first
  STORE_PORT=$((first + 1))
  STORE_BACKEND=127.0.0.1:$((first + 2))
  ETCD_PORT=$((first + 3))
  ETCD_PEER_PORT=$((first + 4))
  # Free for an operator that runs beside the cluster: its listener for health and metrics, and the one for debugging.
  OPERATOR_ADMIN_PORT=$((first + 5))
  OPERATOR_DEBUG_PORT=$((first + 6))
  CONTROLLER_MANAGER_PORT=$((first + 7))
  SCHEDULER_PORT=$((first + 8))
  BIND_FLAGS=(--bind-address=127.0.0.1)
  # The addresses of loopback are none that a Service could have.
  APISERVER_FLAGS=("${BIND_FLAGS[@]}" --endpoint-reconciler-type=none)
  CONTROLLER_MANAGER_FLAGS=("${BIND_FLAGS[@]}" --secure-port="$CONTROLLER_MANAGER_PORT")
  SCHEDULER_FLAGS=("${BIND_FLAGS[@]}" --secure-port="$SCHEDULER_PORT")

  inside() { env -i PATH="$PATH" HOME="${HOME:-/}" "$@"; }
  # Alive is what any of its processes is.
  holder_alive() {
    local component
    for component in "${COMPONENTS[@]}"; do running "$component" && return; done
    return 1
  }
  # Nothing takes a process along when its number is given to another: the time it was started is compared, too.
  running() { # COMPONENT
    local pid started
    [[ -f $PIDS/$1 ]] && read -r pid started <"$PIDS/$1" && [[ -n $started && $(started_at "$pid") == "$started" ]]
  }
  start() { # COMPONENT COMMAND...
    local component=$1 pid
    shift
    # The quotes are the inner shell's.
    # shellcheck disable=SC2016
    pid=$(inside bash -c 'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null & echo $!' start "$LOGS/$component.log" "$@" 9>&-)
    echo "$pid $(started_at "$pid")" >"$PIDS/$component"
  }
  stop() { # COMPONENT
    local pid deadline=$((SECONDS + DOWN_TIMEOUT))
    running "$1" || return 0
    read -r pid _ <"$PIDS/$1"
    kill "$pid" 2>/dev/null || true
    while running "$1"; do
      [[ $SECONDS -lt $deadline ]] || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.02
    done
  }
  load_archive() { load_folder "$@"; }
  end_namespaces() { end_processes; }
  make_cgroups() { :; }
  remove_cgroups() { :; }
}

# Pods end with their node, so it goes first.
end_processes() {
  local component
  for component in operator process-node storelog s3 kube-scheduler kube-controller-manager kube-apiserver etcd; do
    # One that is stopped by a signal hears no other.
    running "$component" && kill -CONT "$(cut -d' ' -f1 "$PIDS/$component")" 2>/dev/null
    stop "$component"
  done
}

# Chooses a number whose ports nobody listens at, and marks it as taken.
choose_ports() {
  local lock number port
  mkdir -p "$STATE_ROOT" "$LOCKS"
  exec {lock}>"$LOCKS/showrunner-numbers.lock"
  flock "$lock"
  for ((number = 1; number <= MAX_CLUSTERS; number++)); do
    grep -qsx "$number" "$STATE_ROOT"/*/number && continue
    for ((port = FIRST_PORT + number * PORTS; port < FIRST_PORT + (number + 1) * PORTS; port++)); do
      listened_at "$port" && continue 2
    done
    mkdir -m 711 "$STATE"
    echo process >"$STATE/node"
    echo "$number" >"$STATE/number"
    break
  done
  exec {lock}>&-
  [[ -f $STATE/number ]] || fail "failed to find free ports: end a cluster ('cluster down --all')"
}

listened_at() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; } # PORT

# The node's own program is built with the workspace, not with the tools.
process_node_program() {
  local program=${CARGO_TARGET_DIR:-$HERE/../../target}/release/showrunner-process-node
  [[ -x $program ]] || fail "failed to find $program: build it first (make binaries)"
  echo "$program"
}

start_process_node() {
  start process-node "$STATE/bin/showrunner-process-node" --name "$NODE" --address "$NODE_IP" \
    --kubeconfig "$CONF/kubelet.kubeconfig" --root "$STATE/pods" --images "$STATE/images"
}

# In the order of what waits for what.
bring_up_processes() {
  mkdir -p "$LOGS" "$PIDS" "$CONF" "$STATE/store" "$STATE/images" "$STATE/pods"
  cp "$HERE/conf/audit-policy.yaml" "$HERE/conf/authentication.yaml" "$CONF/"
  # A copy, so that a build does not change what runs; where other users can start it.
  install -m 755 "$(process_node_program)" "$STATE/bin/"
  start_etcd
  make_server_certificates
  start_apiserver
  make_client_certificates
  make_store_credentials
  start_s3
  wait_for 'the API server' kube-apiserver api_ready
  start_controller_manager
  start_scheduler
  start_process_node
  wait_for 'the S3 server' s3 s3_request GET /
  s3_request PUT "/$BUCKET"
  wait_for 'a Ready node' process-node node_ready
  wait_for 'the default service account' kube-controller-manager account_ready
}

# Takes in an image that is a folder with an image.json, under a name that goes with its content.
load_folder() { # FOLDER
  local reference name
  reference=$(jq -er .reference "$1/image.json" 2>/dev/null) ||
    fail "failed to load $1: a process node takes folders with an image.json; make them with images/build --folder"
  name=$(sha256sum "$1/image.json" | cut -c1-16)
  if [[ ! -d $STATE/images/$name ]]; then
    rm -rf "$STATE/images/.$name.part"
    # Links where the file system allows it: models are large.
    cp -a --link "$1" "$STATE/images/.$name.part" 2>/dev/null || { rm -rf "$STATE/images/.$name.part" && cp -a "$1" "$STATE/images/.$name.part"; }
    mv "$STATE/images/.$name.part" "$STATE/images/$name"
  fi
  echo "$reference"
}

# A folder as an image, of one of the static programs in tools/. Prints its path.
static_folder() { # TOOL
  local reference folder scratch
  reference=$(image_ref "$1")
  folder=$CACHE/images/$1-${reference##*:}
  if [[ ! -d $folder ]]; then
    mkdir -p "$CACHE/images"
    scratch=$(mktemp -d "$CACHE/images/.$1.XXXXXX")
    chmod 755 "$scratch"
    cp "$(tool "$1")" "$scratch/$1"
    # What a container has at a fixed place, the program is told.
    jq -nc --arg reference "$reference" --arg program "/$1" \
      '{reference: $reference, entrypoint: [$program], user: 65532, env: {SHOWRUNNER_TERMINATION: "/dev/termination-log"}}' >"$scratch/image.json"
    mv --no-target-directory "$scratch" "$folder" 2>/dev/null || rm -rf "$scratch"
  fi
  echo "$folder"
}
