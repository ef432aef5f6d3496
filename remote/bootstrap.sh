PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin;
for p in ${SKOOPCTL_PYTHON:-/usr/bin/python3 /usr/libexec/platform-python /usr/bin/python3.[6-9] /usr/bin/python3.1[0-9] /usr/local/bin/python3 /usr/local/bin/python3.[6-9] /usr/local/bin/python3.1[0-9] python3}; do
case $p in /*) ;; *) p=$(command -v $p) || continue;; esac;
[ -x $p ] || continue;
[ $p -ef $p.4 ] && continue;
[ $p -ef $p.5 ] && continue;
exec $p -I -S -B -c "@STUB@";
done;
echo "skoopctl: no python 3.6 or newer: ${SKOOPCTL_PYTHON:-not in /usr/bin, /usr/libexec, /usr/local/bin or PATH}" >&2;
exit 97
