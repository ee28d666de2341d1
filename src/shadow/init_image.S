/* SPDX-License-Identifier: Apache-2.0 */
	.section .rodata
	.globl shadow_init_image
	.globl shadow_init_image_end
	.balign 16
shadow_init_image:
	.incbin INIT_PATH
shadow_init_image_end:
	.section .note.GNU-stack, "", @progbits
