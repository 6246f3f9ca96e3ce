package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokar/format"
	"tokar/format/keyslot"
	"tokar/stages"
)

// A slotPlan is what becomes of the key slots.
type slotPlan struct {
	*session
	o                 rekeyOptions
	stay, gone, added int
}

// slots makes the new slots of those that are there.
func (p *slotPlan) slots(ctx context.Context, keys *format.Keys, now []format.Slot) ([]format.Slot, error) {
	gone, err := p.dropped(now)
	if err != nil {
		return nil, err
	}
	var kept []format.Slot
	for i, slot := range now {
		if !gone[i] {
			kept = append(kept, slot)
		}
	}
	restores := func(s format.Slot) bool { return s.Role == format.RoleRestore }
	if len(p.o.to.Restore) == 0 && !slices.ContainsFunc(kept, restores) {
		return nil, usagef(p.name, "no key would restore the archive; add one with -R FILE or --ask-new-passphrase")
	}
	if i := passphraseThatStays(now, gone); i >= 0 && p.o.passphrase {
		return nil, usagef(p.name, "an archive has one passphrase; take out the old one too: --drop %d", i+1)
	}
	slots, err := p.o.to.WrapBeside(ctx, keys, kept)
	if err != nil {
		return nil, slotsRefused(ctx, err)
	}
	p.stay, p.gone, p.added = len(kept), len(now)-len(kept), len(slots)-len(kept)
	if p.o.dryRun || p.report.verbose || p.report.json != nil {
		p.show(now, gone, slots[len(kept):])
	}
	return slots, nil
}

// slotsRefused is the error of key slots that cannot be made: of what was asked
// for, unless something failed.
func slotsRefused(ctx context.Context, err error) error {
	if f := (*failure)(nil); err == nil || ctx.Err() != nil || errors.As(err, &f) {
		return err
	}
	return &failure{code: exitUsage, err: err}
}

// dropped says which slots --drop takes out.
func (p *slotPlan) dropped(now []format.Slot) ([]bool, error) {
	gone := make([]bool, len(now))
	for _, word := range p.o.drop {
		found := slotsCalled(word, now)
		switch len(found) {
		case 1:
			gone[found[0]] = true
		case 0:
			return nil, usagef(p.name, "no key slot %s; the archive has %s", quote(word), slotWords(now))
		default:
			return nil, usagef(p.name, "%d key slots are %s; give the number of one: the archive has %s", len(found), quote(word), slotWords(now))
		}
	}
	return gone, nil
}

// passphraseThatStays is the place of the slot of a restorer's passphrase that is
// not dropped, or -1.
func passphraseThatStays(now []format.Slot, gone []bool) int {
	for i, slot := range now {
		if slot.Type == format.SlotPassphrase && slot.Role == format.RoleRestore && !gone[i] {
			return i
		}
	}
	return -1
}

// slotsCalled are the places of the slots that a word stands for: a number from
// 1, or what a slot is.
func slotsCalled(word string, slots []format.Slot) (found []int) {
	n, err := strconv.Atoi(word)
	for i, slot := range slots {
		if err == nil && n == i+1 || err != nil && keyslot.Describe(slot) == word {
			found = append(found, i)
		}
	}
	return found
}

// slotWords are slots in a sentence.
func slotWords(slots []format.Slot) string {
	var words []string
	for i, slot := range slots {
		words = append(words, fmt.Sprintf("%d %s (%s)", i+1, keyslot.Describe(slot), slot.Role))
	}
	return strings.Join(words, ", ")
}

// show lists the slots that were there by number, and what becomes of them, then
// the new ones.
func (p *slotPlan) show(now []format.Slot, gone []bool, added []format.Slot) {
	for i, slot := range now {
		change := "stays"
		if gone[i] {
			change = "dropped"
		}
		p.slot(i+1, slot, change)
	}
	for _, slot := range added {
		p.slot(0, slot, "added")
	}
}

// slot writes a line for one key slot; 0 is the number of one that is new.
func (s *session) slot(number int, slot format.Slot, change string) {
	if s.report.json != nil {
		s.report.json.slot(number, slot, change)
		return
	}
	shown := "+"
	if number > 0 {
		shown = strconv.Itoa(number)
	}
	line := fmt.Sprintf("%2s  %-8s %s", shown, slot.Role, escape(keyslot.Describe(slot)))
	if change != "" {
		line = fmt.Sprintf("%-44s %s", line, change)
	}
	s.report.namesTo.line(line)
}

type jsonSlot struct {
	jsonHead
	Number int    `json:"number,omitempty"`
	Role   string `json:"role"`
	Kind   string `json:"kind"`
	Change string `json:"change,omitempty"`
}

func (j *jsonLines) slot(number int, slot format.Slot, change string) {
	j.write(jsonSlot{jsonHead{"slot", schema}, number, slot.Role.String(), keyslot.Describe(slot), change})
}

// tell says what was done, and what that does not do.
func (p *slotPlan) tell(done *stages.Rekeyed, out *output) {
	if p.gone > 0 {
		p.report.warn("a dropped key slot revokes nothing: its key opens every copy made before, and who has read the archive has the keys in it; " +
			"to shut somebody out, make a new archive and destroy the old ones")
	}
	if done.LockedOut {
		p.report.warn("the key or passphrase that opened the archive does not restore the new one")
	}
	verb, where := "rekeyed", ""
	if p.o.dryRun {
		verb = "would rekey"
	} else if out.path != "" {
		where = " " + quote(out.path)
	}
	p.report.result("%s%s: %s kept, %d added, %d dropped; generation %d", verb, where,
		count(uint64(p.stay), "key slot"), p.added, p.gone, done.Generation)
}
