/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both a program and its dynamic loader, which never hands over to it: a process that is being loaded, for as long as
 * it is looked at. Without a C library, so that it can be built for 32 bits where none is installed.
 */
#ifdef __x86_64__
#define PAUSE 34
#define CALL  "syscall"
#else
#define PAUSE 29
#define CALL  "int $0x80"
#endif

void _start(void);

void _start(void)
{
	for (;;) {
		long number = PAUSE;

#ifdef __x86_64__
		__asm__ volatile(CALL : "+a"(number) : : "memory", "rcx", "r11");
#else
		__asm__ volatile(CALL : "+a"(number) : : "memory");
#endif
	}
}
