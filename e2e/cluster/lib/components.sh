# shellcheck shell=bash
# Starts each component with its flags, and knows when it serves.
# I/O: processes inside the cluster's namespaces.

start_etcd() {
  # A test cluster may lose its data with the machine: not waiting for the disk saves seconds. Whoever measures writes does wait
  # (SHOWRUNNER_ETCD_FSYNC=1).
  local sync=(--unsafe-no-fsync)
  [[ -z ${SHOWRUNNER_ETCD_FSYNC:-} ]] || sync=()
  start etcd "$(tool controlplane etcd)" --name etcd --data-dir "$STATE/etcd" "${sync[@]}" --log-level warn \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-cluster "etcd=http://127.0.0.1:$ETCD_PEER_PORT"
}

start_apiserver() {
  start kube-apiserver "$(tool controlplane kube-apiserver)" \
    --advertise-address="$NODE_IP" --secure-port="$API_PORT" --etcd-servers="http://127.0.0.1:$ETCD_PORT" \
    --service-cluster-ip-range="$SERVICE_CIDR" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --authentication-config="$CONF/authentication.yaml" --client-ca-file="$PKI/ca.crt" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/service-accounts.key" --service-account-signing-key-file="$PKI/service-accounts.key" \
    --kubelet-preferred-address-types=InternalIP --kubelet-certificate-authority="$PKI/ca.crt" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet.crt" --kubelet-client-key="$PKI/apiserver-kubelet.key" \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    --proxy-client-cert-file="$PKI/front-proxy.crt" --proxy-client-key-file="$PKI/front-proxy.key" \
    --enable-aggregator-routing=true --profiling=false \
    --audit-policy-file="$CONF/audit-policy.yaml" --audit-log-path="$LOGS/audit.log" \
    --audit-log-maxsize=1024 --audit-log-maxbackup=2 "${APISERVER_FLAGS[@]}"
}

start_controller_manager() {
  start kube-controller-manager "$(tool controlplane kube-controller-manager)" --leader-elect=false --profiling=false \
    --kubeconfig="$CONF/kube-controller-manager.kubeconfig" --use-service-account-credentials=true \
    --authentication-kubeconfig="$CONF/kube-controller-manager.kubeconfig" \
    --authorization-kubeconfig="$CONF/kube-controller-manager.kubeconfig" \
    --root-ca-file="$PKI/ca.crt" --service-account-private-key-file="$PKI/service-accounts.key" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --cluster-name="$NAME" --service-cluster-ip-range="$SERVICE_CIDR" "${CONTROLLER_MANAGER_FLAGS[@]}"
}

start_scheduler() {
  start kube-scheduler "$(tool controlplane kube-scheduler)" --leader-elect=false --profiling=false \
    --kubeconfig="$CONF/kube-scheduler.kubeconfig" \
    --authentication-kubeconfig="$CONF/kube-scheduler.kubeconfig" \
    --authorization-kubeconfig="$CONF/kube-scheduler.kubeconfig" "${SCHEDULER_FLAGS[@]}"
}

start_containerd() { start containerd containerd --config "$CONF/containerd.toml"; }

start_kubelet() {
  start kubelet "$(tool controlplane kubelet)" --config="$CONF/kubelet.yaml" --kubeconfig="$CONF/kubelet.kubeconfig" \
    --hostname-override="$NODE" --node-ip="$NODE_IP"
}

start_proxy() { start kube-proxy "$(tool controlplane kube-proxy)" --config="$CONF/kube-proxy.yaml"; }

start_coredns() { start coredns "$(tool coredns)" -conf "$CONF/Corefile"; }

# A real S3 server over a folder, and before it, under the address that everybody uses, one that logs each request.
start_s3() {
  local access secret
  read -r access secret <"$STATE/s3-credentials"
  start s3 env ROOT_ACCESS_KEY="$access" ROOT_SECRET_KEY="$secret" \
    "$(tool s3)" --port "$STORE_BACKEND" --region us-east-1 posix "$STATE/store"
  start storelog "$(tool storelog)" "$NODE_IP:$STORE_PORT" "$STORE_BACKEND" "$LOGS/s3-access.log"
}

api_ready() { curl -fsS --max-time 2 --cacert "$PKI/ca.crt" "https://$NODE_IP:$API_PORT/readyz"; }

containerd_ready() { ctr --address "$SOCKET" --connect-timeout 1s version; }

# A signed request as the S3 server's only user.
s3_request() { # METHOD PATH [CURL_OPTION...]
  local method=$1 path=$2 access secret
  shift 2
  read -r access secret <"$STATE/s3-credentials"
  # The secret goes in by a file descriptor, as arguments can be read by every user of the machine.
  curl -fsS --max-time 5 --aws-sigv4 aws:amz:us-east-1:s3 --config <(printf 'user = "%s:%s"\n' "$access" "$secret") \
    --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --request "$method" "$@" "http://$NODE_IP:$STORE_PORT$path"
}

# The admin's view of one object. Not kubectl: asked many times while everything starts, it would take the processor from it.
api_get() { # PATH
  curl -fsS --max-time 2 --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" "https://$NODE_IP:$API_PORT$1"
}

# Pods can be made and run: the node is Ready, its start-up taint is gone, the default service account exists.
node_ready() {
  api_get "/api/v1/nodes/$NODE" |
    jq -e 'any(.status.conditions[]; .type == "Ready" and .status == "True") and (.spec.taints // [] | length == 0)'
}
account_ready() { api_get /api/v1/namespaces/default/serviceaccounts/default; }
