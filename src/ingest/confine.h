// What a worker of the sandbox gives up before it sees a document. Private to src/ingest/sandbox.*.
#pragma once

#include <cstddef>

#include "ingest/sandbox.h"

namespace weir {

// Closes every descriptor but `keep` (which becomes 3) and 0, 1, 2; then limits, Landlock, seccomp, in this order. Says what held. Called once, in a process
// with one thread; afterwards it can compute, allocate, and read and write what is open.
SandboxFeatures confine(int keep, const SandboxOptions& options);

// Whether this kernel can kill a process for a system call. Without it nothing here would hold.
bool has_seccomp();

}  // namespace weir
