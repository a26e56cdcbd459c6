# SPDX-License-Identifier: Apache-2.0
# The server's options, what it says when it starts and ends, and curl against it. What it answers is compared with the
# other commands in tests/serve_e2e.py.
# shellcheck shell=sh
run 0 serve --help
has '--port N .*default 8080'
has '--host ADDRESS'
run 2 serve --port 70000
says 'gptjt serve: --port is 70000, not within 0..65535'
run 2 serve --tls-cert cert.pem
says 'gptjt serve: --tls-cert and --tls-key go together'
run 2 serve --api-key x
says 'gptjt serve: unknown option --api-key; did you mean --api-keys?'
run 1 serve --api-keys missing.txt
says 'gptjt serve: missing.txt: No such file or directory'
echo 'short bob' >keys.txt
run 1 serve --api-keys keys.txt
says 'gptjt serve: keys.txt: line 1: a key has 8 to 256 characters'
echo '# nobody' >keys.txt
run 1 serve --api-keys keys.txt
says 'gptjt serve: keys.txt: no keys in it'
echo 'no PEM' >cert.pem
run 1 serve --tls-cert cert.pem --tls-key cert.pem
says 'gptjt serve: cert.pem: not a PEM file'
run 1 serve --host nowhere.invalid
complains '^gptjt serve: cannot listen on nowhere.invalid: '
run 1 serve --port 0 -m missing --quiet
complains '^gptjt serve: missing'

start() { # OPTIONS...: leaves its process in $pid, its address in $url
    # shellcheck disable=SC2034 # die shows it
    command="serve $*"
    rm -f err # of the one before
    "$GPTJT" serve -m "$MODEL" --port 0 --threads 1 "$@" >out 2>err &
    pid=$!
    # shellcheck disable=SC2154 # run.sh's
    trap 'kill $pid 2>/dev/null || :; rm -rf "$directory"' EXIT
    until grep -q '^or: curl' err 2>/dev/null; do
        kill -0 $pid || die "it did not start"
        sleep 0.05
    done
    url=$(sed -n 's/^listening on //p' err)
}

stop() {
    kill -TERM $pid
    code=0
    wait $pid || code=$?
    [ $code = 0 ] || die "exit code $code after SIGTERM"
    [ ! -s out ] || die "there is something on stdout"
}

command -v curl >/dev/null || exit 0
start
grep -q '^serving gpt-jt-tiny (fp16 weights' err || die "it does not say what it serves"
grep -q '^mask: prefix (' err || die "it does not say which mask is on"
eval "$(sed -n 's/^or: //p' err) -sf" >answer || die "its example does not work"
grep -q '^{"generated_text":" Indian Rupee' answer || die "its example answers: $(cat answer)"
[ "$(curl -s -o /dev/null -w '%{http_code}' "$url/health")" = 200 ] || die "not healthy"
"$GPTJT" serve --port "${url##*:}" --quiet 2>second && die "it listens twice"
[ "$(cat second)" = "gptjt serve: cannot listen on 127.0.0.1, port ${url##*:}: Address already in use" ] || die "it says: $(cat second)"
head -c 3000000 /dev/zero | curl -s -o answer -w '%{http_code}' --data-binary @- "$url/generate" >code
[ "$(cat code)" = 413 ] || die "a large body is answered with $(cat code)"
curl -sN "$url/generate_stream" -d '{"inputs": "Country: India\nCurrency:", "parameters": {"stop": ["\n"]}}' >answer
tail -n 2 answer | grep -q '"generated_text":" Indian Rupee","details":{"finish_reason":"stop_sequence"' || die "the stream ends in $(tail -n 2 answer)"
stop
grep -q '"path":"/generate","status":200' err || die "the request is not in the log"

printf 'sk-0123456789 alice\n' >keys.txt
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
    start --api-keys keys.txt --tls-cert cert.pem --tls-key key.pem
    case $url in https://*) ;; *) die "it listens on $url" ;; esac
    [ "$(curl -s --cacert cert.pem -o answer -w '%{http_code}' "$url/info")" = 401 ] || die "no key was needed"
    grep -q 'Authorization: Bearer KEY' answer || die "it does not say how to give a key: $(cat answer)"
    curl -sfN --cacert cert.pem -H 'Authorization: Bearer sk-0123456789' "$url/generate_stream" -d '{"inputs": "x", "parameters": {"max_new_tokens": 3}}' >answer || die "the key does not open it"
    [ "$(grep -c '^data:' answer)" = 3 ] || die "not three events over TLS: $(cat answer)"
    stop
fi
