# Sourced: `. vagrant/env.sh` in bash, as root. Starts libvirt where nothing else does, and sets the variables with which the Vagrantfile runs the
# box of scripts/vagrant-box, by KVM where it works and emulated where not. `vagrant/local-libvirt stop` takes it back.
# shellcheck shell=bash
if lvs_variables=$("$(dirname "${BASH_SOURCE[0]}")/local-libvirt" start); then
  eval "$lvs_variables"
  unset lvs_variables
else
  unset lvs_variables
  false
fi
