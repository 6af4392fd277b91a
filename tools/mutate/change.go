package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
)

// finder finds the changes in one file.
type finder struct {
	file   *token.File
	path   string
	source []byte
	swaps  map[string]string // constants that take each other's place
	seen   map[string]bool   // what the changes make of the file: two ways to the same one count once
	found  []*mutant
}

// operators have what takes an operator's place.
var operators = map[token.Token][]string{
	token.LSS: {"<=", ">="}, token.LEQ: {"<", ">"}, token.GTR: {">=", "<="}, token.GEQ: {">", "<"},
	token.EQL: {"!="}, token.NEQ: {"=="},
	token.LAND: {"||"}, token.LOR: {"&&"},
	token.ADD: {"-"}, token.SUB: {"+"}, token.MUL: {"/"}, token.QUO: {"*"},
	token.AND: {"|"}, token.OR: {"&"}, token.SHL: {">>"}, token.SHR: {"<<"},
	token.ADD_ASSIGN: {"-="}, token.SUB_ASSIGN: {"+="}, token.INC: {"--"}, token.DEC: {"++"},
}

func (f *finder) offset(p token.Pos) int { return f.file.Offset(p) }

// replace adds the change of the source between two positions.
func (f *finder) replace(from, to token.Pos, text string) {
	m := &mutant{path: f.path, from: f.offset(from), to: f.offset(to), text: text, source: f.source}
	pos := f.file.Position(from)
	m.line, m.column = pos.Line, pos.Column
	if after := string(m.changed()); !f.seen[after] {
		f.seen[after] = true
		f.found = append(f.found, m)
	}
}

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.offset(n.Pos()):f.offset(n.End())])
}

func (f *finder) operator(at token.Pos, op token.Token) {
	for _, other := range operators[op] {
		f.replace(at, at+token.Pos(len(op.String())), other)
	}
}

// function finds the changes in a function. Those in a function literal know its results.
func (f *finder) function(typ *ast.FuncType, body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			f.function(n.Type, n.Body)
			return false
		case *ast.ReturnStmt:
			f.results(typ, n)
		case *ast.BlockStmt:
			f.statements(n.List)
		case *ast.CaseClause:
			f.statements(n.Body)
		case *ast.CommClause:
			f.statements(n.Body)
		case *ast.IfStmt:
			f.negate(n.Cond)
		case *ast.ForStmt:
			if n.Cond != nil {
				f.negate(n.Cond)
			}
		case *ast.SwitchStmt:
			f.cases(n)
		case *ast.BinaryExpr:
			f.operator(n.OpPos, n.Op)
		case *ast.AssignStmt:
			f.operator(n.TokPos, n.Tok)
		case *ast.IncDecStmt:
			f.operator(n.TokPos, n.Tok)
		case *ast.UnaryExpr:
			if n.Op == token.NOT {
				f.replace(n.Pos(), n.X.Pos(), "")
			}
		case *ast.BasicLit:
			f.number(n)
		case *ast.SelectorExpr:
			ast.Inspect(n.X, func(x ast.Node) bool { return f.name(x) })
			return false
		case *ast.Ident:
			f.name(n)
		}
		return true
	})
}

// negate turns a condition round. What has an operator of its own for that is turned round by it.
func (f *finder) negate(cond ast.Expr) {
	if b, ok := cond.(*ast.BinaryExpr); ok && b.Op != token.LAND && b.Op != token.LOR {
		return
	}
	if u, ok := cond.(*ast.UnaryExpr); ok && u.Op == token.NOT {
		return
	}
	f.replace(cond.Pos(), cond.End(), "!("+f.text(cond)+")")
}

// cases turns the cases of a switch without a tag round.
func (f *finder) cases(s *ast.SwitchStmt) {
	if s.Tag != nil {
		return
	}
	for _, clause := range s.Body.List {
		for _, cond := range clause.(*ast.CaseClause).List {
			f.negate(cond)
		}
	}
}

// results has nil returned in an error's place, and the opposite of a bool.
func (f *finder) results(typ *ast.FuncType, ret *ast.ReturnStmt) {
	if typ.Results == nil {
		return
	}
	var types []string
	for _, field := range typ.Results.List {
		for range max(1, len(field.Names)) {
			types = append(types, f.text(field.Type))
		}
	}
	if len(types) != len(ret.Results) { // a call has them all
		return
	}
	for i, value := range ret.Results {
		switch text := f.text(value); {
		case types[i] == "error" && text != "nil":
			f.replace(value.Pos(), value.End(), "nil")
		case types[i] == "bool" && text != "true" && text != "false":
			f.negate(value)
		}
	}
}

// statements leaves statements out.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt, *ast.DeferStmt:
			if !f.locks(s) {
				f.replace(s.Pos(), s.End(), "")
			}
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				f.replace(s.Pos(), s.End(), "")
			}
		case *ast.GoStmt, *ast.IncDecStmt, *ast.SendStmt:
			f.replace(s.Pos(), s.End(), "")
		}
	}
}

// locks says whether a statement locks or unlocks: what that is good for, the race detector says.
func (f *finder) locks(s ast.Stmt) bool {
	text := strings.TrimPrefix(f.text(s), "defer ")
	for _, name := range []string{".Lock()", ".Unlock()", ".RLock()", ".RUnlock()"} {
		if strings.HasSuffix(text, name) && !strings.Contains(text, "\n") {
			return true
		}
	}
	return false
}

// number changes small numbers: large ones are sizes and times that were chosen more or less freely.
func (f *finder) number(lit *ast.BasicLit) {
	if lit.Kind != token.INT {
		return
	}
	const large = 16
	var n int
	if _, err := fmt.Sscan(lit.Value, &n); err != nil || n > large {
		return
	}
	f.replace(lit.Pos(), lit.End(), fmt.Sprint(n+1))
	if n == 1 {
		f.replace(lit.Pos(), lit.End(), "0")
	}
}

// name swaps true and false, and the constants of an enumeration.
func (f *finder) name(n ast.Node) bool {
	id, ok := n.(*ast.Ident)
	if !ok {
		return true
	}
	switch other := f.swaps[id.Name]; {
	case id.Name == "true":
		f.replace(id.Pos(), id.End(), "false")
	case id.Name == "false":
		f.replace(id.Pos(), id.End(), "true")
	case other != "":
		f.replace(id.Pos(), id.End(), other)
	}
	return true
}
