package signature

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// public takes the key that belongs to a public one from ssh-agent, as
// ssh-keygen -Y sign does: keys of hardware have no file to sign with.
func (from Source) public(ctx context.Context, text []byte) (*Key, error) {
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, errors.New("not an SSH key")
	}
	if public, err = parseKey(public.Marshal()); err != nil {
		return nil, err
	}
	if from.Agent == "" {
		return nil, errors.New("a public key; give the file with the private one, or start ssh-agent and add it (SSH_AUTH_SOCK is not set)")
	}
	sign := func(ctx context.Context, data []byte) (sig *ssh.Signature, err error) {
		err = from.withAgent(ctx, func(a agent.ExtendedAgent) error {
			sig, err = a.SignWithFlags(public, data, agentFlags(public))
			return err
		})
		return sig, err
	}
	return &Key{public: public, sign: sign, agent: true}, from.withAgent(ctx, func(a agent.ExtendedAgent) error { return held(a, public) })
}

// agentFlags ask for SHA-512 of RSA keys.
func agentFlags(public ssh.PublicKey) agent.SignatureFlags {
	if public.Type() == ssh.KeyAlgoRSA {
		return agent.SignatureFlagRsaSha512
	}
	return 0
}

// held says whether the agent holds a key.
func held(a agent.ExtendedAgent, public ssh.PublicKey) error {
	keys, err := a.List()
	if err != nil {
		return err
	}
	for _, k := range keys {
		if bytes.Equal(k.Blob, public.Marshal()) {
			return nil
		}
	}
	return fmt.Errorf("ssh-agent does not hold its private key; ssh-add adds it")
}

// withAgent talks to ssh-agent, which may wait for somebody to touch something:
// the end of the run ends that.
func (from Source) withAgent(ctx context.Context, talk func(agent.ExtendedAgent) error) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", from.Agent)
	if err != nil {
		return fmt.Errorf("ssh-agent does not answer (SSH_AUTH_SOCK): %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	err = talk(agent.NewClient(conn))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
