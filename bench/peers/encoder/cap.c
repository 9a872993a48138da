// Answers the cpuid instructions of a peer that has no switch for it, so that it takes the kernels of an older CPU: cap.py put "int3; nop" in their place, in a copy
// of the peer's libraries. CAP_ROW: avx2 hides AVX-512, AMX, AVX10 and AVX-VNNI; avx2-vnni leaves AVX-VNNI; avx512 hides AMX and AVX10. By LD_PRELOAD.
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

static int keeps_512, keeps_vnni, said;

static void answer(int number, siginfo_t* info, void* context) {
  (void)number, (void)info;
  greg_t* r = ((ucontext_t*)context)->uc_mcontext.gregs;
  const unsigned char* at = (const unsigned char*)r[REG_RIP];  // behind the int3
  if (at[-1] != 0xcc || at[0] != 0x90) abort();                // somebody else's
  unsigned leaf = (unsigned)r[REG_RAX], part = (unsigned)r[REG_RCX], a, b, c, d;
  __cpuid_count(leaf, part, a, b, c, d);
  if (leaf == 7 && part == 0) {
    d &= ~(1U << 22 | 1U << 24 | 1U << 25);  // AMX
    if (!keeps_512) {
      b &= ~(1U << 16 | 1U << 17 | 1U << 21 | 1U << 26 | 1U << 27 | 1U << 28 | 1U << 30 | 1U << 31);
      c &= ~(1U << 1 | 1U << 6 | 1U << 11 | 1U << 12 | 1U << 14);
      d &= ~(1U << 2 | 1U << 3 | 1U << 8 | 1U << 23);
    }
  }
  if (leaf == 7 && part == 1) {
    a &= ~(1U << 21);  // AMX-FP16
    d &= ~(1U << 19);  // AVX10
    if (!keeps_512) a &= ~(1U << 5);
    if (!keeps_vnni) a &= ~(1U << 4), d &= ~(1U << 4 | 1U << 10);
  }
  r[REG_RAX] = a, r[REG_RBX] = b, r[REG_RCX] = c, r[REG_RDX] = d;
  ++r[REG_RIP];
  if (leaf == 7 && !said) {
    said = 1;
    static const char words[] = "cap: asks cpuid, is answered\n";
    (void)!write(2, words, sizeof words - 1);
  }
}

__attribute__((constructor)) static void install(void) {
  const char* row = getenv("CAP_ROW");
  if (row == NULL) return;
  keeps_512 = strcmp(row, "avx512") == 0, keeps_vnni = strcmp(row, "avx2") != 0;
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
  action.sa_sigaction = answer;
  sigaction(SIGTRAP, &action, NULL);
}
