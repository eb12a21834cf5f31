# shellcheck shell=bash
# Writes the configuration files of one cluster's components.
# I/O: files under $CONF only.

write_configs() {
  cp "$HERE/conf/audit-policy.yaml" "$HERE/conf/authentication.yaml" "$CONF/"
  echo "nameserver $DNS_IP" >"$CONF/resolv.conf"
  containerd_config >"$CONF/containerd.toml"
  mkdir "$CONF/cni"
  cni_config >"$CONF/cni/10-showrunner.conflist"
  kubelet_config >"$CONF/kubelet.yaml"
  proxy_config >"$CONF/kube-proxy.yaml"
  coredns_config >"$CONF/Corefile"
  sed "s/DNS_IP/$DNS_IP/; s/NODE_IP/$NODE_IP/" "$HERE/conf/coredns.yaml" >"$CONF/coredns.yaml"
}

# - restrict_oom_score_adj: where a virtual machine forbids negative scores, every sandbox would fail to start.
# - the opt plugin would make /opt/containerd on the host.
containerd_config() {
  cat <<EOF
version = 2
root = "$STATE/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "$SOCKET"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$(image_ref pause)"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "$CNI_PLUGINS"
  conf_dir = "$CONF/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
EOF
}

cni_config() {
  cat <<EOF
{
  "cniVersion": "0.4.0",
  "name": "showrunner",
  "plugins": [{
    "type": "bridge",
    "bridge": "$BRIDGE",
    "isGateway": true,
    "hairpinMode": true,
    "ipam": {
      "type": "host-local",
      "dataDir": "$STATE/cni",
      "ranges": [[{"subnet": "$POD_NETWORK.$NUMBER.0/24", "gateway": "$NODE_IP", "rangeStart": "$POD_NETWORK.$NUMBER.10"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
EOF
}

# Images cannot be pulled again here, so they are never collected; disk and memory are guarded by floors only.
kubelet_config() {
  cat <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: $CGROUP
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$SOCKET
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
failCgroupV1: false
failSwapOn: false
healthzBindAddress: 127.0.0.1
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
makeIPTablesUtilChains: false
maxPods: 100
nodeStatusMaxImages: -1
podLogsDir: $LOGS/var/pods
resolvConf: $CONF/resolv.conf
syncFrequency: 10s
systemReserved: {memory: 1Gi}
tlsCertFile: $PKI/kubelet-serving.crt
tlsPrivateKeyFile: $PKI/kubelet-serving.key
volumePluginDir: /var/lib/kubelet/volume-plugins
EOF
}

proxy_config() {
  cat <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: $NODE_IP
clientConnection: {kubeconfig: $CONF/kube-proxy.kubeconfig}
clusterCIDR: $POD_NETWORK.$NUMBER.0/24
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
detectLocal: {bridgeInterface: $BRIDGE}
detectLocalMode: BridgeInterface
healthzBindAddress: 127.0.0.1:10256
hostnameOverride: $NODE
metricsBindAddress: 127.0.0.1:10249
mode: nftables
EOF
}

# There is no world outside, so other names are answered at once: they do not exist.
coredns_config() {
  cat <<EOF
cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
  bind $NODE_IP
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $CONF/coredns.kubeconfig
    pods insecure
    ttl 5
  }
}
.:53 {
  bind $NODE_IP
  errors
  template ANY ANY {
    rcode NXDOMAIN
  }
}
EOF
}
