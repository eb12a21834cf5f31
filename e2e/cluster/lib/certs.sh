# shellcheck shell=bash
# One certificate authority per cluster and a client certificate per component, so that RBAC sees who is who.
# I/O: openssl; writes $PKI and $STATE/*.kubeconfig.

readonly CERT_DAYS=365

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

new_authority() { # FILE COMMON_NAME
  new_key "$PKI/$1.key"
  openssl req -x509 -new -sha256 -key "$PKI/$1.key" -days "$CERT_DAYS" -subj "/CN=$2" \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' -out "$PKI/$1.crt"
}

# Serial numbers come from openssl's random default, so certificates can be made side by side.
new_certificate() { # FILE SUBJECT USAGE [SUBJECT_ALT_NAMES] [AUTHORITY]
  local authority=${5:-ca}
  new_key "$PKI/$1.key"
  openssl req -new -sha256 -key "$PKI/$1.key" -subj "$2" -out "$PKI/$1.csr"
  openssl x509 -req -sha256 -in "$PKI/$1.csr" -CA "$PKI/$authority.crt" -CAkey "$PKI/$authority.key" \
    -set_serial "0x$(openssl rand -hex 16)" -days "$CERT_DAYS" -out "$PKI/$1.crt" -extfile <(
      printf 'basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "$3"
      [[ -z ${4:-} ]] || printf 'subjectAltName=%s\n' "$4"
    ) 2>/dev/null
  rm "$PKI/$1.csr"
}

# A kubeconfig with everything in it, so that it can be copied elsewhere.
new_kubeconfig() { # FILE USER CERTIFICATE
  (
    umask 077
    cat >"$1" <<EOF
apiVersion: v1
kind: Config
clusters:
  - name: $NAME
    cluster:
      server: https://$NODE_IP:$API_PORT
      certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
  - name: $2
    user:
      client-certificate-data: $(base64 -w0 "$PKI/$3.crt")
      client-key-data: $(base64 -w0 "$PKI/$3.key")
contexts:
  - name: $NAME
    context: {cluster: $NAME, user: $2}
current-context: $NAME
EOF
  )
}

# What the API server needs to start; the rest is made while it does.
make_server_certificates() {
  mkdir -m 700 "$PKI"
  new_authority ca "$NAME"
  new_key "$PKI/service-accounts.key"
  new_certificate apiserver /CN=kube-apiserver serverAuth \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:$KUBERNETES_IP,IP:$NODE_IP,IP:127.0.0.1"
  new_certificate apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  new_authority front-proxy-ca "$NAME-front-proxy"
  new_certificate front-proxy /CN=front-proxy-client clientAuth '' front-proxy-ca
}

make_client_certificates() {
  local component
  new_certificate admin /O=system:masters/CN=admin clientAuth
  new_kubeconfig "$STATE/kubeconfig" admin admin
  # Whoever called sudo shall be able to use it.
  [[ -z ${SUDO_UID:-} ]] || chown "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$STATE/kubeconfig"
  new_certificate kubelet-serving "/O=system:nodes/CN=system:node:$NODE" serverAuth "DNS:$NODE,IP:$NODE_IP"
  new_certificate kubelet "/O=system:nodes/CN=system:node:$NODE" clientAuth
  new_kubeconfig "$CONF/kubelet.kubeconfig" kubelet kubelet
  for component in kube-controller-manager kube-scheduler kube-proxy coredns; do
    new_certificate "$component" "/CN=system:$component" clientAuth
    new_kubeconfig "$CONF/$component.kubeconfig" "$component" "$component"
  done
}
