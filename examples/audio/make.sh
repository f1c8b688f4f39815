#!/usr/bin/env bash
# Makes the speech of the demo again. Tools, voices and licences: README.md.
# Usage: examples/audio/make.sh [OUT_DIR]     (default: the folder of this script)
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
rate=24000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for tool in festival text2wave espeak-ng flite sox soxi; do
  command -v "$tool" >/dev/null || { echo "make.sh: '$tool' is missing, see README.md" >&2; exit 1; }
done

# One sentence, one voice, raw output of the synthesiser.
speak() { # speak VOICE TEXT FILE
  case $1 in
    festival-ru) printf '%s\n' "$2" | text2wave -eval '(voice_msu_ru_nsh_clunits)' -o "$3" ;;
    espeak-ru)   espeak-ng -v ru+f3 -s 185 -w "$3" -- "$2" ;;
    flite-*)     flite -voice "${1#flite-}" --setf duration_stretch=0.9 -t "$2" -o "$3" ;;
  esac
}

# 24 kHz mono, silence cut off both ends, -20 dBFS RMS, 5 ms fades so that no edge clicks.
# -D: no dither, for the same bytes each time; clipping cannot happen unseen, because a peak
# above -1 dBFS is refused below.
finish() { # finish IN OUT
  sox -D "$1" -b 32 "$work/cut.wav" remix - highpass 60 rate -h $rate \
    silence 1 0.005 0.3% reverse silence 1 0.005 0.3% reverse
  local rms
  rms=$(sox "$work/cut.wav" -n stats 2>&1 | awk '/^RMS lev dB/ {print $4}')
  sox -D "$work/cut.wav" -b 16 -e signed-integer "$2" \
    gain "$(awk -v r="$rms" 'BEGIN {print -20 - r}')" fade t 0.005 -0 0.005
  sox "$2" -n stats 2>&1 | awk '/^Pk lev dB/ && $4 > -1 {exit 1}' ||
    { echo "make.sh: $2 peaks above -1 dBFS" >&2; exit 1; }
}

utterance() { # utterance VOICE TEXT OUT
  speak "$1" "$2" "$work/raw.wav"
  finish "$work/raw.wav" "$3"
}

samples() { soxi -s "$1"; }
ms() { echo $(( ($1 * 1000 + rate / 2) / rate )); }

# The customer's channel of one call: 600 ms, line 1, answer 1 + 1500 ms, line 2,
# answer 2 + 1800 ms, line 3, 1200 ms, over a floor of noise at about -70 dBFS RMS.
call() { # call LANG CALLER_FILE CALLER_VOICE AGENT_VOICE customer1 agent1 customer2 agent2 customer3 agent3
  local lang=$1 file=$2 caller=$3 agent=$4
  shift 4
  mkdir -p "$out/$lang"
  local extra=(0 36000 43200 0) at=14400 parts=() n json="" duration start
  for n in 1 2 3; do
    utterance "$caller" "$1" "$work/c$n.wav"
    utterance "$agent" "$2" "$out/$lang/answer-$n.wav"
    duration=$(samples "$out/$lang/answer-$n.wav")
    sox -D "$work/c$n.wav" "$work/p$n.wav" pad "${at}s@0s"
    parts+=("$work/p$n.wav")
    start=$at
    at=$((at + $(samples "$work/c$n.wav")))
    json+="    {\"role\": \"customer\", \"file\": \"$file\", \"text\": \"$1\", \"start_ms\": $(ms "$start"), \"end_ms\": $(ms "$at")},"$'\n'
    json+="    {\"role\": \"agent\", \"file\": \"$lang/answer-$n.wav\", \"text\": \"$2\", \"duration_ms\": $(ms "$duration")},"$'\n'
    if [ "$n" -lt 3 ]; then at=$((at + duration + extra[n])); fi
    shift 2
  done
  at=$((at + 28800))
  sox -R -D -r $rate -n -b 16 -c 1 "$work/floor.wav" synth "${at}s" whitenoise vol 0.00055
  sox -D -m -v 1 "$work/floor.wav" -v 1 "${parts[0]}" -v 1 "${parts[1]}" -v 1 "${parts[2]}" -b 16 "$out/$file"
  printf '  "%s": [\n%s\n  ]' "$lang" "${json%,$'\n'}" >"$work/$lang.json"
}

call ru caller.wav festival-ru espeak-ru \
  'Здравствуйте, я хочу заказать большую пиццу маргарита.' \
  'Добрый день! Большая маргарита, шестьсот рублей. Куда доставить?' \
  'Доставьте на улицу Ленина, дом пять.' \
  'Записала: улица Ленина, дом пять. Заказ принят, номер сорок два, привезём через тридцать минут.' \
  'Спасибо, это всё.' \
  'Спасибо за заказ, до свидания!'

call en caller-en.wav flite-rms flite-slt \
  'Hello, I would like to order a large margherita pizza.' \
  'Good afternoon! One large margherita, six hundred roubles. Where do we deliver it?' \
  'Please deliver it to Lenin Street, house five.' \
  'Got it: Lenin Street, house five. The order is placed, number forty two, in thirty minutes.' \
  'Thank you, that is all.' \
  'Thank you for your order, goodbye!'

printf '{\n%s,\n%s\n}\n' "$(cat "$work/ru.json")" "$(cat "$work/en.json")" >"$out/lines.json"
