#!/bin/sh
# What tshark (Wireshark 4.0.17) finds in each capture: file, frames, frames with SIP in them, messages by method or
# status. SIP that an ICMP error quotes was not sent: it does not count. Made counts.tsv: sh counts.sh > counts.tsv
cd "$(dirname "$0")/data" || exit 1
printf 'file\tframes\tsip_frames\tmessages\n'
for f in *.pcap *.pcapng; do
    frames=$(tshark -r "$f" -T fields -e frame.number | wc -l)
    sip=$(tshark -r "$f" -Y 'sip && !icmp' -T fields -e frame.number | wc -l)
    kinds=$(tshark -r "$f" -Y 'sip && !icmp' -T fields -E occurrence=a -E aggregator=' ' -e sip.Method -e sip.Status-Code |
        tr -s '\t ' '\n' | sed '/^$/d' | LC_ALL=C sort | uniq -c | awk '{printf "%s%s=%s", (NR > 1 ? " " : ""), $2, $1}')
    printf '%s\t%s\t%s\t%s\n' "$f" "$frames" "$sip" "$kinds"
done
