# shellcheck shell=bash
# Ends a cluster so that nothing of it is left, whatever state it is in.
# I/O: processes, links, cgroups and the state folder of that cluster.

end_cluster() {
  local left=()
  [[ ! -f $STATE/node ]] || NUMBER=${NUMBER:-0} use_process_node
  end_namespaces || left+=("process $HOLDER (namespaces)")
  if [[ -f $STATE/number && ! -f $STATE/node ]]; then
    # Gone with its peer; named explicitly for the case that the namespace is still being taken down.
    ip link delete "sr-$(<"$STATE/number")" 2>/dev/null || true
    [[ ! -e /sys/class/net/sr-$(<"$STATE/number") ]] || left+=("link sr-$(<"$STATE/number")")
  fi
  remove_cgroups || left+=("cgroup $CGROUP")
  if [[ ${#left[@]} -eq 0 ]]; then
    rm -rf --one-file-system "$STATE" || left+=("folder $STATE")
    rmdir --ignore-fail-on-non-empty "$STATE_ROOT" 2>/dev/null || true
  fi
  [[ ${#left[@]} -eq 0 ]] || {
    say "failed to remove all of cluster '$NAME'; left: ${left[*]}"
    return 1
  }
}

# One signal: the holder is init of the process namespace, so the kernel kills everything inside with it, containers
# included, and the mounts and network go with the last process.
end_namespaces() {
  local deadline=$((SECONDS + DOWN_TIMEOUT)) pid=''
  if [[ ! -f $STATE/holder && -f $STATE/outer ]]; then
    end_outer
    return
  fi
  holder_alive || return 0
  pid=$HOLDER
  kill -KILL "$pid" 2>/dev/null || true
  while holder_alive; do
    [[ $SECONDS -lt $deadline ]] || return 1
    sleep 0.02
  done
  # Whoever made the namespaces waits for their init, and is a moment behind it.
  [[ ! -f $STATE/outer ]] || end_outer
}

# `up` was ended between making the namespaces and knowing their init.
end_outer() {
  local pid started deadline=$((SECONDS + DOWN_TIMEOUT))
  read -r pid started <"$STATE/outer"
  while [[ $(started_at "$pid") == "$started" ]]; do
    kill -KILL "$pid" 2>/dev/null || true
    [[ $SECONDS -lt $deadline ]] || return 1
    sleep 0.02
  done
}

# Each cgroup v1 hierarchy, or the one of v2, has its own tree; the processes are gone, but the kernel may lag behind.
remove_cgroups() {
  local tree deadline=$((SECONDS + DOWN_TIMEOUT))
  for tree in $(cgroup_trees); do
    while [[ -d $tree ]]; do
      find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [[ -d $tree ]] || break
      [[ $SECONDS -lt $deadline ]] || return 1
      sleep 0.02
    done
  done
}

# Where a cgroup of this cluster may be: v2 mounts the root itself, v1 one folder per hierarchy.
cgroup_trees() {
  local mount
  while read -r _ mount _; do echo "$mount$CGROUP"; done < <(grep -E '^\S+ \S+ cgroup2? ' /proc/self/mounts)
}

# kubelet wants its root cgroup to exist.
make_cgroups() {
  local tree controller
  for tree in $(cgroup_trees); do
    if [[ -f ${tree%"$CGROUP"}/cgroup.subtree_control ]]; then
      for controller in cpuset cpu io memory hugetlb pids; do
        echo "+$controller" >"${tree%"$CGROUP"}/cgroup.subtree_control" 2>/dev/null || true
      done
    fi
    mkdir -p "$tree"
    # A v1 cpuset starts empty, and nothing can run in an empty one.
    if [[ -f $tree/cpuset.cpus && -z $(<"$tree/cpuset.cpus") ]]; then
      cat "${tree%"$CGROUP"}/cpuset.cpus" >"$tree/cpuset.cpus"
      cat "${tree%"$CGROUP"}/cpuset.mems" >"$tree/cpuset.mems"
    fi
  done
}
