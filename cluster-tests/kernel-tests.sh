#!/bin/bash
# The unit tests that want a real kernel: the data plane's contract, IPVS against ipvsadm, the reconcile loop. Runs inside the lab.
# kernel-tests.sh TEST-BINARY: each test in a network namespace of its own.
set -u
binary=$1 failed=0 count=0
for name in $("$binary" --list | sed -n 's/^\(\(kernel\|reconcile\)::io::tests::.*\): test$/\1/p'); do
  count=$((count + 1))
  ip netns add "t$count"
  if LVS_LAB=1 ip netns exec "t$count" "$binary" --exact "$name" --nocapture >"/tmp/t$count" 2>&1 && ! grep -q '^SKIPPED' "/tmp/t$count"; then
    echo "ok   $name"
    sed -n 's/.*LAB /figure /p' "/tmp/t$count"
  else
    failed=$((failed + 1))
    echo "FAIL $name" && tail -n 20 "/tmp/t$count"
  fi
  ip netns del "t$count"
done
echo "$count tests on a real kernel, $failed failed"
[ $count -gt 0 ] && [ $failed = 0 ]
