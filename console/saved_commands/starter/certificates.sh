# muster: name: Certificates
# muster: description: When the TLS certificates in the usual places expire, the soonest first. Some folders need root.
# muster: tags: tls security starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
if ! command -v openssl >/dev/null 2>&1; then
  echo "openssl is not installed"
  exit 0
fi
found=$(
  for folder in /etc/letsencrypt/live /etc/ssl/private /etc/ssl/local /etc/nginx /etc/apache2 /etc/httpd /etc/haproxy \
    /etc/pki/tls/certs /etc/postfix /etc/dovecot /usr/local/etc/ssl; do
    [ -d "$folder" ] || continue
    find -L "$folder" -maxdepth 3 -type f \( -name '*.pem' -o -name '*.crt' -o -name '*.cer' \) 2>/dev/null
  done | sort -u | grep -v -e '/ca-bundle' -e '/ca-certificates' | head -n 200 | while IFS= read -r file; do
    end=$(openssl x509 -noout -enddate -in "$file" 2>/dev/null) || continue
    end=${end#notAfter=}
    day=$(date -d "$end" +%Y-%m-%d 2>/dev/null || echo "$end")
    if openssl x509 -noout -checkend 0 -in "$file" >/dev/null 2>&1; then
      state=valid
      openssl x509 -noout -checkend 2592000 -in "$file" >/dev/null 2>&1 || state="ends within 30 days"
    else
      state=EXPIRED
    fi
    echo "$day  $file  $state"
  done | sort
)
if [ -n "$found" ]; then
  echo "$found"
else
  echo "no certificate that can be read was found in the usual folders"
fi
exit 0
