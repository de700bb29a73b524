#!/bin/sh
# In the guest, before and after hwinventory looks: `prepare` makes what is to be looked at, `ask` lets others look. What they
# say goes to /said.
set -x
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
case $1 in
    prepare)
        # A map over both paths, as multipathd makes it.
        set -- $(for disk in /sys/block/sd*; do
            [ "$(cat "$disk/device/wwid")" = naa.5000c500deadbe17 ] && cat "$disk/dev"
        done)
        dmsetup create mpatha --noudevsync --uuid mpath-35000c500deadbe17 --table \
            "0 131072 multipath 0 0 1 1 service-time 0 2 2 $1 1 1 $2 1 1"
        ipmitool -I open sel clear
        # Add SEL Entry (IPMI 2.0, 31.6): a corrected memory error, a lost power supply, and one that only its maker knows.
        ipmitool -I open raw 0x0a 0x44 0 0 0x02 0x00 0xf1 0x53 0x65 0x20 0 0x04 0x0c 0x08 0x6f 0x00 0xff 0xff
        ipmitool -I open raw 0x0a 0x44 0 0 0x02 0x10 0xf1 0x53 0x65 0x20 0 0x04 0x08 0x51 0x6f 0x03 0xff 0xff
        ipmitool -I open raw 0x0a 0x44 0 0 0xc0 0x20 0xf1 0x53 0x65 0x57 0x01 0 1 2 3 4 5 6
        ;;
    ask)
        mkdir -p /said
        ipmitool -I open mc info >/said/mc.txt
        ipmitool -I open sel info >/said/sel-info.txt
        ipmitool -I open -v sel list >/said/sel.txt
        ipmitool -I open -v sdr list full >/said/sdr.txt
        ipmitool -I open sdr elist all >/said/sensors.txt
        ipmitool -I open fru print >/said/fru.txt
        nvme list --verbose --output-format=json >/said/nvme-list.json
        nvme list-subsys --output-format=json >/said/nvme-subsystems.json
        for disk in /dev/nvme?; do nvme id-ctrl "$disk" --output-format=json >"/said/id-ctrl-${disk#/dev/}.json"; done
        lspci -Dvmmnnk >/said/lspci.txt
        lsblk -J -b -O >/said/lsblk.json
        lscpu -J -B >/said/lscpu.json
        dmidecode >/said/dmidecode.txt
        dmsetup status >/said/dmsetup.txt
        tar -cf /run/said.tar -C /said .
        ;;
esac
