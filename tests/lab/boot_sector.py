"""The whole operating system of the lab's guests: one sector that works once a second and sleeps in between.

In even seconds it reads a sector from each of up to four IDE disks; in odd ones it writes a sector to each and sends a
frame on every ne2k_pci network card. So all of a guest's counters move, at about 0.1 % of a core: waking the emulated
CPU is what costs, so nothing but the clock's one interrupt per second and the disks' answers does it. It talks to the
IDE controller itself and halts until the disk has answered; the firmware's own disk functions spin, and would burn a
core for each guest whose storage hangs.

Interrupts are off except while it halts, so that none slips in between looking and halting; the firmware's handlers
acknowledge them. Cards plugged in later send nothing.

    start:    segments and stack
    cards:    PCI BIOS 0xb102 finds device 10ec:8029 of index 0 and up, 0xb109 reads its I/O base, into the list at
              0x8000 that a zero ends; once, because each search asks for every possible PCI device
    clock:    timer into mode 0 without a count: it stops, instead of 18.2 interrupts a second that wake QEMU even if
              masked; masks: only the clock (IRQ 8) and the disks (14 and 15) remain; clock register B: one interrupt
              after each second; then for ever:
    again:    the second has changed since the last look (it is in bp): on; else halt and look again
    disks:    for the channels at 0x1f0 and 0x170 and the drives 0xe0 and 0xf0 (LBA mode):
              transfer command 0x20 (read) at sector 0, in odd seconds command 0x30 (write) at sector 1
    send:     again, unless the second is odd; for each card on the list: length 60 into register 5, "start and
              transmit" (0x26) into register 0
    transfer: select the drive, one sector, its number, the command; halt while the drive is busy (status bit 7);
              when it wants data (status bit 3) move 128 double words (half the port accesses) from or to 0x7e00
"""

from __future__ import annotations

SECTOR = 512
"""Bytes."""

_CODE = bytes.fromhex(
    "31c0 8ed8 8ec0 8ed0 bc007c fc"  # start
    "bf0080 31f6 b802b1 b92980 baec10 cd1a 7212"  # cards: find
    "57 b809b1 bf1000 cd1a 5f 80e1fc 91 ab 46 ebe1 31c0 ab"  # cards: read the I/O base, list it; end the list
    "b030 e643 b0fb e621 b03e e6a1 b00b e670 b012 e671"  # clock: timer, masks, register B
    "fa 31c0 e670 e471 39e8 95 7504 fb f4 ebf0"  # again
    "bbf001 b4e0 be2000 f7c50100 7403 be3001 e82d00 80f410 f6c410 75e9 81f38000 f6c380 74de"  # disks
    "f7c50100 74c5 be0080 ad 85c0 74bd 93 8d5705 b03c ee 89da b026 ee ebed"  # send
    "8d5706 88e0 ee 8d5702 b001 ee 42 89f1 88e8 ee 42 b000 ee 42 ee 8d5707 88c8 ee"  # transfer: command
    "ec a880 7405 fb f4 fa ebf6 a808 7410 89da b98000 83fe20 7507 bf007e 66f36d c3"  # transfer: wait, read
    "56 be007e 66f36f 5e 8d5707 ebd4"  # transfer: write
)

BOOT_SECTOR = _CODE.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"
