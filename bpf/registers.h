// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
// The arguments of a function that a kprobe is at: which of struct pt_regs' words they are.
#pragma once
#include "kernel.h"

#if defined(__TARGET_ARCH_x86)
#define PARM1(regs) ((regs)[14]) // di: struct pt_regs of arch/x86/include/uapi/asm/ptrace.h
#define PARM2(regs) ((regs)[13]) // si
#elif defined(__TARGET_ARCH_arm64)
#define PARM1(regs) ((regs)[0])
#define PARM2(regs) ((regs)[1])
#endif
