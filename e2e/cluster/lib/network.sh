# shellcheck shell=bash
# The cluster's namespaces and its network: a bridge for node and pods inside, a link and one route to the host.
# I/O: namespaces, links and routes; on the host only link sr-<number> and a route through it.

# Chooses a number whose networks nobody uses, and marks it as taken.
choose_number() {
  local lock number
  mkdir -p "$STATE_ROOT"
  exec {lock}>/run/lock/showrunner-numbers.lock
  flock "$lock"
  for ((number = 1; number <= MAX_CLUSTERS; number++)); do
    if grep -qsx "$number" "$STATE_ROOT"/*/number || [[ -e /sys/class/net/sr-$number ]] ||
      [[ -n $(ip -4 route show table all root "$POD_NETWORK.$number.0/24") ]] ||
      [[ -n $(ip -4 route show table all root "$LINK_NETWORK.$number.0/30") ]]; then
      continue
    fi
    mkdir -m 711 "$STATE"
    echo "$number" >"$STATE/number"
    # The link is the mark that clusters with another state folder see, too.
    ip link add "sr-$number" type veth peer name "sr-$number-in"
    break
  done
  exec {lock}>&-
  [[ -f $STATE/number ]] || fail "failed to find a free network: all $MAX_CLUSTERS of $POD_NETWORK.0.0/16 are taken; end a cluster ('cluster down --all')"
}

hold_namespaces() {
  mkdir -p "$LOGS/var/pods" "$LOGS/var/containers" "$PIDS" "$CONF" "$STATE/kubelet" "$STATE/cni" "$STATE/store"
  local outer
  setsid unshare --mount --net --pid --fork --kill-child --mount-proc \
    "$HERE/lib/hold" "$STATE" "$CACHE" "$(tool pause)" "showrunner-cluster-$NAME" >"$LOGS/holder.log" 2>&1 </dev/null 9>&- &
  outer=$!
  disown "$outer"
  echo "$outer $(started_at "$outer")" >"$STATE/outer"
  local deadline=$((SECONDS + UP_TIMEOUT))
  until [[ -f $STATE/held ]]; do
    if [[ $SECONDS -ge $deadline ]] || ! kill -0 "$outer" 2>/dev/null; then
      show_log holder
      fail "failed to make namespaces: unshare or a mount was refused (above); in a container it must be privileged"
    fi
    sleep 0.01
  done
  HOLDER=$(pgrep -P "$outer")
  echo "$HOLDER $(started_at "$HOLDER")" >"$STATE/holder"
}

make_network() {
  local link=sr-${NUMBER:?load_cluster sets it}
  ip link set "$link-in" netns "$HOLDER" name uplink
  ip addr add "$HOST_IP/30" dev "$link"
  ip link set "$link" up
  # The quotes are the inner shell's.
  # shellcheck disable=SC2016
  inside bash -euc '
    ip link set lo up
    ip addr add "$1/30" dev uplink
    ip link set uplink up
    ip route add default via "$2"
    ip link add "$3" type bridge
    ip addr add "$4/24" dev "$3"
    ip link set "$3" up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    # Pods on one bridge reach each other through a Service only if bridged packets pass the rules of kube-proxy.
    echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
  ' network "$LINK_NETWORK.$NUMBER.2" "$HOST_IP" "$BRIDGE" "$NODE_IP"
  ip route add "$POD_NETWORK.$NUMBER.0/24" via "$LINK_NETWORK.$NUMBER.2" dev "$link"
}
