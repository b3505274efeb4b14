#!/bin/sh
# Starts JupyterLab as Kubeflow expects it: below NB_PREFIX, without a token, because the gateway has signed people in.
set -eu
mkdir -p "$HOME/sample"
cp -R -n /opt/sample/. "$HOME/sample/"
exec jupyter lab --no-browser --ServerApp.ip=0.0.0.0 --ServerApp.port=8888 --ServerApp.base_url="$NB_PREFIX" \
    --IdentityProvider.token= --ServerApp.allow_origin='*' --ServerApp.root_dir="$HOME"
