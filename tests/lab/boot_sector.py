"""The whole operating system of the lab's guests: one sector that works once a second and sleeps in between.

Idle at 0 % CPU, about once a second it reads a sector from and writes a sector to each of up to four IDE disks, and
sends a frame on every ne2k_pci network card, so that all of a guest's counters move. It talks to the IDE controller
itself and halts until the disk has answered; the firmware's own disk functions spin, and would burn a core for each
guest whose storage hangs.

    start:    segments and stack; then for ever:
    again:    enable interrupts, halt 16 times (the timer ticks 18.2 times a second)
    disks:    for the channels at 0x1f0 and 0x170 and the drives 0xe0 and 0xf0 (LBA mode):
              transfer command 0x20 (read) at sector 0, then command 0x30 (write) at sector 1
    cards:    for index 0 and up: PCI BIOS 0xb102 finds device 10ec:8029, else back to again;
              0xb109 reads its I/O base; length 60 into register 5, "start and transmit" (0x26) into register 0
    transfer: select the drive, one sector, its number, the command; halt while the drive is busy (status bit 7);
              when it wants data (status bit 3) move 256 words from or to 0x7e00
"""

from __future__ import annotations

SECTOR = 512
"""Bytes."""

_CODE = bytes.fromhex(
    "31c0 8ed8 8ec0 8ed0 bc007c fc"  # start
    "fb b91000 f4 e2fd"  # again
    "bbf001 b4e0 be2000 e84100 be3001 e83b00 80f410 f6c410 75ec 81f38000 f6c380 74e1"  # disks
    "31f6 b802b1 b92980 baec10 cd1a 72c8 b809b1 bf1000 cd1a 80e1fc 89cb"  # cards: find, read the I/O base
    "8d5705 b03c ee 89da b026 ee 46 ebd8"  # cards: send
    "8d5706 88e0 ee 8d5702 b001 ee 42 89f1 88e8 ee 42 b000 ee 42 ee 8d5707 88c8 ee"  # transfer: command
    "ec a880 7403 f4 ebf8 a808 740f 89da b90001 83fe20 7506 bf007e f36d c3"  # transfer: wait, read
    "be007e f36f 8d5707 ebda"  # transfer: write
)

BOOT_SECTOR = _CODE.ljust(SECTOR - 2, b"\0") + b"\x55\xaa"
