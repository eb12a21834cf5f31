# shellcheck shell=bash
# Images: archives of single static programs made here, and loading archives into a cluster's containerd.
# I/O: $CACHE/images; containerd's socket.

# The reference of a tool's image; its tag is the tool's own key, so that it changes with the program.
image_ref() { # TOOL
  local folder
  folder=$(dirname "$(tool "$1")")
  echo "showrunner.dev/$1:${folder##*-}"
}

# An image of one static program and nothing else, as a docker archive; made once per program. Prints the archive's path.
static_image() { # TOOL
  local reference archive scratch layer
  reference=$(image_ref "$1")
  archive=$CACHE/images/$1-${reference##*:}.tar
  if [[ ! -f $archive ]]; then
    mkdir -p "$CACHE/images"
    scratch=$(mktemp -d "$CACHE/images/.$1.XXXXXX")
    cp "$(tool "$1")" "$scratch/$1"
    tar -C "$scratch" --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=755 -cf "$scratch/layer.tar" "$1"
    layer=$(sha256sum "$scratch/layer.tar")
    jq -nc --arg layer "sha256:${layer%% *}" --arg program "/$1" '{
      architecture: "amd64", os: "linux", created: "1970-01-01T00:00:00Z",
      config: {Entrypoint: [$program], User: "65532:65532"},
      rootfs: {type: "layers", diff_ids: [$layer]}}' >"$scratch/config.json"
    jq -nc --arg reference "$reference" '[{Config: "config.json", RepoTags: [$reference], Layers: ["layer.tar"]}]' \
      >"$scratch/manifest.json"
    tar -C "$scratch" -cf "$scratch/archive" manifest.json config.json layer.tar
    mv "$scratch/archive" "$archive"
    rm -r "$scratch"
  fi
  echo "$archive"
}

ctr_images() { ctr --address "$SOCKET" --namespace k8s.io images "$@"; }

# Loads an archive (oci or docker, naming its own references) and waits until kubelet would find what it names.
load_archive() { # ARCHIVE
  local references reference deadline
  [[ -r $1 ]] || fail "failed to read $1: no such archive; build images with images/build"
  references=$(ctr_images import --no-unpack=false "$1" | awk '/^unpacking / { print $2 }') ||
    fail "failed to load $1 into cluster '$NAME': containerd refused it (above); it must be an oci or docker archive"
  [[ -n $references ]] || fail "failed to load $1: it names no image; push it with a full reference (oci-archive:FILE:NAME:TAG)"
  for reference in $references; do
    deadline=$((SECONDS + UP_TIMEOUT))
    # containerd tells its own Kubernetes side by an event, which then marks the image.
    until ctr_images list "name==$reference" | grep -q io.cri-containerd.image=managed; do
      [[ $SECONDS -lt $deadline ]] || fail "failed to load $reference: containerd took it, but does not show it to kubelet"
      sleep 0.02
    done
    echo "$reference"
  done
}
