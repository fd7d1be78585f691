package launch

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// segmentAlign suits every page size that arm64 and amd64 kernels have.
const segmentAlign = 0x10000

// image is a program as a static ELF executable: one segment with the loop, one with the
// steps and all that they point to. It holds no byte of the host but what the plan named.
type image struct {
	code []byte // from the start of the file on: the ELF header and the loop
	data []byte // at segmentAlign; between the two there is a hole
}

// image lays the program out.
func (p *Program) image() image {
	data := p.data()
	code := loopCode()
	head := make([]byte, codeOffset+len(code))
	copy(head, elfHeader(len(code), len(data)))
	copy(head[codeOffset:], code)
	return image{code: head, data: data}
}

// writeTo writes the image to an empty file. The hole takes no page of it.
func (i image) writeTo(f *os.File) error {
	if _, err := f.WriteAt(i.code, 0); err != nil {
		return err
	}
	_, err := f.WriteAt(i.data, segmentAlign)
	return err
}

// codeOffset leaves room for the ELF header and its three program headers.
const codeOffset = 0x200

func elfHeader(code, data int) []byte {
	var h []byte
	put := func(v any) {
		var err error
		if h, err = binary.Append(h, binary.LittleEndian, v); err != nil {
			panic(err) // a fixed-size struct: cannot fail
		}
	}
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	put(elf.Header64{
		Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(elfMachine), Version: uint32(elf.EV_CURRENT),
		Entry: codeBase + codeOffset, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 3, Shentsize: 64,
	})
	put(elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Align: segmentAlign,
		Vaddr: codeBase, Paddr: codeBase, Filesz: uint64(codeOffset + code), Memsz: uint64(codeOffset + code),
	})
	put(elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Align: segmentAlign, Off: segmentAlign,
		Vaddr: dataBase, Paddr: dataBase, Filesz: uint64(data), Memsz: uint64(data),
	})
	put(elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16})
	return h
}

// data is the second segment: header, steps, then what they point to.
func (p *Program) data() []byte {
	steps := headerSize + stepSize*len(p.Steps)
	d := &segment{b: make([]byte, steps, steps+p.room()), placed: make(map[*Arg]uint64, len(p.Steps))}
	d.word(0, scratch) // failures before the report page is mapped go nowhere
	for i, k := range p.key {
		d.word(offKey+8*i, k)
	}
	for i, s := range p.Steps {
		s.addr = dataBase + headerSize + uint64(i)*stepSize
	}
	for i, s := range p.Steps {
		d.step(s, i)
	}
	return d.b
}

// room is what the steps point to takes, or a little more.
func (p *Program) room() (n int) {
	for _, s := range p.Steps {
		for i := range s.Args {
			a := &s.Args[i]
			n += len(a.data) + a.buffer + 8*len(a.words) + 8
			for _, text := range a.table {
				n += len(text) + 16
			}
		}
	}
	return n
}

// segment is the data segment while it grows.
type segment struct {
	b      []byte
	placed map[*Arg]uint64 // where arguments' bytes lie
}

func (d *segment) word(off int, v uint64) { binary.NativeEndian.PutUint64(d.b[off:], v) }

func (d *segment) step(s *Step, i int) {
	at := headerSize + i*stepSize
	d.word(at+offNr, s.Nr)
	for n := range s.Args {
		d.word(at+offArgs+8*n, d.arg(&s.Args[n]))
	}
	if s.into != nil {
		d.word(at+offInto, s.into.address())
	}
	d.word(at+offOnZero, target(s, s.onZero))
	d.word(at+offOnPositive, target(s, s.onPositive))
	d.word(at+offOnError, target(s, s.onError))
	first, second := errnoWords(s.errnos)
	d.word(at+offErrno, first)
	d.word(at+offErrno2, second)
	d.word(at+offExit, s.exit)
	if s.errnoInto != nil {
		d.word(at+offErrnoInto, s.errnoInto.address())
	}
}

func target(s, to *Step) uint64 {
	switch to {
	case nil:
		return 0
	case goNext:
		return s.addr + stepSize
	}
	return to.addr
}

func errnoWords(list []unix.Errno) (first, second uint64) {
	switch len(list) {
	case 0:
		return anyErrno, 0
	case 1:
		return uint64(list[0]), uint64(list[0])
	case 2:
		return uint64(list[0]), uint64(list[1])
	}
	panic(fmt.Sprintf("launch: a step names %d errnos, the loop knows two", len(list)))
}

// arg places what an argument points to and returns the register's value.
func (d *segment) arg(a *Arg) uint64 {
	if a.share != nil {
		return d.arg(a.share)
	}
	if a.at != nil {
		return a.at.address()
	}
	if a.isNumber() {
		return a.value
	}
	if addr, ok := d.placed[a]; ok {
		return addr
	}
	addr := a.value
	switch {
	case a.data != nil:
		addr = d.place(a.data)
	case a.buffer > 0:
		addr = d.place(make([]byte, a.buffer))
	case a.table != nil:
		addr = d.placeTable(a.table)
	case a.words != nil:
		b := make([]byte, 0, 8*len(a.words))
		for i := range a.words {
			b = binary.NativeEndian.AppendUint64(b, d.arg(&a.words[i]))
		}
		addr = d.place(b)
	}
	d.placed[a] = addr
	return addr
}

func (d *segment) place(b []byte) uint64 {
	for len(d.b)%8 != 0 {
		d.b = append(d.b, 0)
	}
	addr := dataBase + uint64(len(d.b))
	d.b = append(d.b, b...)
	return addr
}

func (d *segment) placeTable(list []string) uint64 {
	b := make([]byte, 0, 8*(len(list)+1))
	for _, s := range list {
		b = binary.NativeEndian.AppendUint64(b, d.place(append([]byte(s), 0)))
	}
	return d.place(append(b, make([]byte, 8)...))
}
