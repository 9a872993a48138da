    .section .rodata
    .global weir_starter_opml
    .global weir_starter_opml_end
    .global weir_notices
    .global weir_notices_end
weir_starter_opml:
    .incbin WEIR_STARTER
weir_starter_opml_end:
    .byte 0
weir_notices:
    .incbin WEIR_NOTICES
weir_notices_end:
    .byte 0
    .section .note.GNU-stack,"",@progbits
