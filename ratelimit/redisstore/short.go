package redisstore

import (
	"strconv"
	"strings"
)

// shortWay is where the script for a number of plain policies has its short
// way, and that for others says that there are none. It is written out for each
// number, since loops and tables would take as long in it as all else.
const shortWay = "--<short way>\n"

// scripts returns the script for 0 policies, which stands for any that are not
// all plain, and for 1, 2 … maxRequests plain ones.
func scripts(text string) (all [1 + maxRequests]string) {
	for n := range all {
		way := "local plain, total\n"
		if n > 0 {
			way = short(n)
		}
		all[n] = strings.Replace(text, shortWay, way, 1)
	}
	return all
}

// short is the short way for n plain policies. Of each, a is what to add, n
// what must fit, s the span, l the level, and f whether it fits.
func short(n int) string {
	list := func(format string) string { // for 1 to n, with commas between
		all := make([]string, n)
		for i := range all {
			all[i] = strings.ReplaceAll(format, "#", strconv.Itoa(i+1))
		}
		return strings.Join(all, ", ")
	}
	each := func(format string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(format, "#", strconv.Itoa(i+1)))
		}
		return b.String()
	}
	doubles, size := strings.Repeat("d", n), strconv.Itoa(n)
	return "local plain, total = ARGV[1], " + size + "\n" +
		"if not state or sub(state, 1, 4) == 'gh2\\" + size + "' and sub(state, " + strconv.Itoa(21+8*n) + ") == plain then\n" +
		"  local " + list("a#, n#, s#") + " = get('<" + strings.Repeat(doubles, 3) + "', ARGV[2])\n" +
		"  local written, ends, " + list("l#") + " = now, 0" + strings.Repeat(", 0", n) + "\n" +
		"  if state then\n" +
		"    written, ends, " + list("l#") + " = get('<dd" + doubles + "', state, 5)\n" +
		"    local past = (now - written) * 1000\n" +
		"    if not (past >= 0) then past, stale = 0, true end\n" +
		each("    if not (l# > -1e18 and l# < 1e18) then return 'foreign' end\n"+
			"    l# = l# - past\n"+
			"    if l# < 0 then l# = 0 elseif l# > s# then l#, stale = s#, true end\n") +
		"  end\n" +
		"  local all, longest, " + list("f#") + " = true, 0" + strings.Repeat(", 1", n) + "\n" +
		each("  if a# >= 0 and l# + n# > s# then all, f# = false, 0 end\n") +
		"  if all then\n" +
		each("    l# = l# + a#\n    if l# < 0 then l# = 0 end\n") +
		"  end\n" +
		each("  if l# > longest then longest = l# end\n") +
		"  if a1 ~= 0 and (all or stale) then\n" +
		"    local format = '<c4dd" + doubles + "c0'\n" +
		"    if longest > 0 and ends - now > longest / 1000 and not stale then\n" +
		"      redis.call('SET', KEYS[1], put(format, 'gh2\\" + size + "', now, ends, " + list("l#") + ", plain), 'KEEPTTL')\n" +
		"    elseif longest > 0 then\n" +
		"      local life = math.ceil(longest / 1000000) + 1000\n" +
		"      redis.call('SET', KEYS[1], put(format, 'gh2\\" + size + "', now, now + 1000 * life - 2000, " + list("l#") + ", plain), 'PX', life)\n" +
		"    elseif state then\n" +
		"      redis.call('DEL', KEYS[1])\n" +
		"    end\n" +
		"  end\n" +
		"  return put('<" + strings.Repeat("Bd", n) + "', " + list("f#, l#") + ")\n" +
		"end\n"
}
